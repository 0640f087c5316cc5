/* Takes secrets out of what a command prints, in every form in which one may be written: as it is, line by line, percent-encoded, as JSON
 * (once and twice), in hexadecimal, and inside anything that was encoded by base64.
 *
 * It is a stream: what could be the beginning of a secret is held back until it is one or is not, and nothing else is. A secret of
 * fewer than four bytes, or another form of fewer than six, is left: it would be found everywhere.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MASKED "***"
#define SECRET_LEAST 4
#define FORM_LEAST 6
#define SECRET_MOST (64 * 1024)

struct bytes {
    char *at;
    size_t size, room;
};

static struct bytes *forms;
static size_t form_count;
static unsigned char begins[256]; /* whether a form begins with this byte */

static void append(struct bytes *to, const char *from, size_t size) {
    if (to->size + size > to->room) {
        to->room = 2 * (to->size + size) + 64;
        if (!(to->at = realloc(to->at, to->room)))
            abort(); /* better no output than one that is not masked */
    }
    if (size)
        memcpy(to->at + to->size, from, size);
    to->size += size;
}

static int by_size(const void *one, const void *other) {
    size_t a = ((const struct bytes *)one)->size, b = ((const struct bytes *)other)->size;
    return a < b ? 1 : a > b ? -1 : 0;
}

static void know(struct bytes form, size_t least) {
    for (size_t i = 0; i < form_count; i++)
        if (form.size < least || (forms[i].size == form.size && !memcmp(forms[i].at, form.at, form.size)))
            least = SIZE_MAX;
    if (form.size < least) {
        free(form.at);
        return;
    }
    if (!(forms = realloc(forms, (form_count + 1) * sizeof *forms)))
        abort();
    forms[form_count++] = form;
    begins[(unsigned char)form.at[0]] = 1;
    qsort(forms, form_count, sizeof *forms, by_size);
}

static struct bytes copied(const char *text, size_t size) {
    struct bytes made = {0};
    append(&made, text, size);
    return made;
}

static struct bytes percent(const char *text, size_t size, const char *safe) {
    struct bytes made = {0};
    char code[4];
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c && strchr(safe, c)))
            append(&made, text + i, 1);
        else
            append(&made, code, (size_t)snprintf(code, sizeof code, "%%%02X", c));
    }
    return made;
}

/* The length of the character that begins here in UTF-8, and its number; 1 and the byte for what is none. */
static size_t character(const unsigned char *text, size_t left, uint32_t *number) {
    size_t size = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : text[0] >= 0xC0 ? 2 : 1;
    *number = text[0];
    if (size == 1 || size > left)
        return 1;
    uint32_t found = text[0] & (0xFF >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 1;
        found = found << 6 | (text[i] & 0x3F);
    }
    *number = found;
    return size;
}

static struct bytes json(const char *text, size_t size, int is_ascii) {
    static const char plain[] = "\"\\\n\r\t\b\f", named[] = "\"\\nrtbf";
    struct bytes made = {0};
    char code[16];
    for (size_t i = 0, step; i < size; i += step) {
        uint32_t c;
        step = character((const unsigned char *)text + i, size - i, &c);
        const char *place = c && c < 0x80 ? strchr(plain, (int)c) : NULL;
        if (place)
            append(&made, code, (size_t)snprintf(code, sizeof code, "\\%c", named[place - plain]));
        else if (c < 0x20 || (is_ascii && c >= 0x7F && c < 0x10000))
            append(&made, code, (size_t)snprintf(code, sizeof code, "\\u%04x", c));
        else if (is_ascii && c >= 0x10000)
            append(&made, code, (size_t)snprintf(code, sizeof code, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 | (c & 0x3FF)));
        else
            append(&made, text + i, step);
    }
    return made;
}

static struct bytes hexadecimal(const char *text, size_t size) {
    struct bytes made = {0};
    char code[3];
    for (size_t i = 0; i < size; i++)
        append(&made, code, (size_t)snprintf(code, sizeof code, "%02x", (unsigned char)text[i]));
    return made;
}

/* Base64 writes three bytes at a time, so it depends on how many bytes stand before; what depends on the neighbours is left out. */
static struct bytes base64(const char *text, size_t size, size_t before, const char *last) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    struct bytes made = {0};
    for (size_t i = before ? 3 - before : 0; i + 3 <= size; i += 3) {
        const unsigned char *c = (const unsigned char *)text + i;
        unsigned values[] = {c[0] >> 2, (c[0] & 3u) << 4 | c[1] >> 4, (c[1] & 15u) << 2 | c[2] >> 6, c[2] & 63u};
        for (size_t j = 0; j < 4; j++)
            append(&made, values[j] < 62 ? &digits[values[j]] : &last[values[j] - 62], 1);
    }
    return made;
}

static void know_text(const char *text, size_t size) {
    if (size < SECRET_LEAST || size > SECRET_MOST)
        return;
    know(copied(text, size), SECRET_LEAST);
    know(percent(text, size, "_.-~"), FORM_LEAST);
    know(percent(text, size, "_.-~/"), FORM_LEAST);
    know(hexadecimal(text, size), FORM_LEAST);
    for (int is_ascii = 0; is_ascii < 2; is_ascii++) {
        struct bytes once = json(text, size, is_ascii);
        know(json(once.at, once.size, is_ascii), FORM_LEAST);
        know(once, FORM_LEAST);
    }
    for (size_t before = 0; before < 3; before++) {
        know(base64(text, size, before, "+/"), FORM_LEAST);
        know(base64(text, size, before, "-_"), FORM_LEAST);
    }
}

/* A secret, without the white space around it, and each of its lines: a log is read line by line. */
static void know_secret(const char *text, size_t size) {
    static const char space[] = " \t\r\n";
    while (size && text[0] && strchr(space, text[0]))
        text++, size--;
    while (size && text[size - 1] && strchr(space, text[size - 1]))
        size--;
    know_text(text, size);
    for (size_t begin = 0, end; begin < size; begin = end + 1) {
        const char *found = memchr(text + begin, '\n', size - begin);
        end = found ? (size_t)(found - text) : size;
        size_t length = end - begin;
        while (length && strchr(space, text[begin + length - 1]))
            length--;
        if (length < size && length >= 2 * FORM_LEAST)
            know_text(text + begin, length);
    }
}

static void know_file(const char *directory, const char *name) {
    char path[4096], *content = malloc(SECRET_MOST + 1);
    struct stat found;
    FILE *file = NULL;
    if (content && snprintf(path, sizeof path, "%s/%s", directory, name) < (int)sizeof path && !stat(path, &found)
        && S_ISREG(found.st_mode) && (file = fopen(path, "re")))
        know_secret(content, fread(content, 1, SECRET_MOST + 1, file));
    if (file)
        fclose(file);
    free(content);
}

/* The secrets of variables, by their names between commas; one that names a directory stands for the files in it. */
static void know_variables(const char *names, const char *directories) {
    char *list = strdup(names), *rest = NULL;
    if (!list)
        abort();
    for (char *name = strtok_r(list, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        const char *value = getenv(name);
        DIR *opened = NULL;
        if (value && !strncmp(value, directories, strlen(directories)) && (opened = opendir(value))) {
            for (struct dirent *entry; (entry = readdir(opened));)
                if (entry->d_name[0] != '.')
                    know_file(value, entry->d_name);
            closedir(opened);
        } else if (value) {
            know_secret(value, strlen(value));
        }
    }
    free(list);
}

/* Return what may go on of what is held, masked, and keep the rest; at the end everything goes on. */
static struct bytes masked(struct bytes *held, int is_end) {
    struct bytes made = {0};
    size_t at = 0;
    while (at < held->size) {
        size_t plain = at;
        while (plain < held->size && !begins[(unsigned char)held->at[plain]])
            plain++;
        append(&made, held->at + at, plain - at);
        if ((at = plain) == held->size)
            break;
        size_t left = held->size - at, found = 0, waits = 0;
        for (size_t i = 0; i < form_count && !found && !waits; i++) {
            size_t size = forms[i].size < left ? forms[i].size : left;
            if (forms[i].at[0] != held->at[at] || memcmp(forms[i].at, held->at + at, size))
                continue;
            found = size == forms[i].size ? size : 0;
            waits = !found && !is_end;
        }
        if (waits)
            break;
        append(&made, found ? MASKED : held->at + at, found ? sizeof MASKED - 1 : 1);
        at += found ? found : 1;
    }
    memmove(held->at, held->at + at, held->size - at);
    held->size -= at;
    return made;
}
