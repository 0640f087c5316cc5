/* Process 1 of the user's container: starts the command, passes signals on, takes secrets out of what it prints, reaps what is left to it,
 * ends as the command ends, and says in the termination message how much the container has used. Static, because the image around it is the user's and may hold
 * nothing. Built with: cc -static -Os -o launch launch.c
 *
 * What it says comes from the container's own control group where the kernel counts it, and else from getrusage(2). It is an
 * observation and no evidence: the command can write the same file.
 * Source: cgroup-v2 (memory.peak, cpu.stat), cgroup-v1 (memory.max_usage_in_bytes, cpuacct.usage).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mask.h"

#define MESSAGE "/dev/termination-log"
#define NOT_STARTED 126
#define END "\n\004\n" /* EOT on a line of its own, whatever was said before */
#define SECRETS "HOLDFAST_SECRETS"
#ifndef DIRECTORIES
#define DIRECTORIES "/holdfast/secrets/"
#endif
#define PIECE (64 * 1024)
#define PIPE_READS 20 /* a pipe holds 64 KiB, and a MiB where somebody has asked for it */

static volatile pid_t command;
static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

static void pass(int number) {
    if (command > 0)
        kill(command, number);
}

/* The first number in a file that stands after a word, or at its beginning where there is none; -1 where there is no such file. */
static double counted(const char *path, const char *word) {
    char text[4096];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    if (size <= 0)
        return -1;
    text[size] = 0;
    const char *place = word ? strstr(text, word) : text;
    return place ? strtod(place + (word ? strlen(word) : 0), NULL) : -1;
}

static void say(const char *text) {
    int file = open(MESSAGE, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (file < 0)
        return;
    if (write(file, text, strlen(text)) < 0)
        fprintf(stderr, "the termination message could not be written: %s\n", strerror(errno));
    close(file);
}

static void say_usage(void) {
    struct rusage used;
    char text[256];
    getrusage(RUSAGE_CHILDREN, &used);
    double memory = counted("/sys/fs/cgroup/memory.peak", NULL);
    if (memory < 0)
        memory = counted("/sys/fs/cgroup/memory/memory.max_usage_in_bytes", NULL);
    if (memory < 0)
        memory = used.ru_maxrss * 1024.0;
    double seconds = counted("/sys/fs/cgroup/cpu.stat", "usage_usec ") / 1e6;
    if (seconds < 0)
        seconds = counted("/sys/fs/cgroup/cpuacct/cpuacct.usage", NULL) / 1e9;
    if (seconds < 0)
        seconds = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    snprintf(text, sizeof text, "{\"peak_memory_bytes\": %.0f, \"cpu_seconds\": %.6f}", memory, seconds);
    say(text);
}

static void wake(int number) {
    (void)number; /* so that ppoll(2) returns */
}

static void write_all(int to, const char *text, size_t size) {
    while (size) {
        ssize_t written = write(to, text, size);
        if (written < 0 && errno != EINTR)
            return; /* nobody reads what the command says */
        if (written > 0)
            text += written, size -= (size_t)written;
    }
}

struct stream {
    int from, to;
    struct bytes held;
};

static void say_masked(struct stream *stream, int is_end) {
    struct bytes said = masked(&stream->held, is_end);
    write_all(stream->to, said.at, said.size);
    free(said.at);
}

/* Pass on what the command has said; return whether there may be more now. */
static int pass_on(struct stream *stream) {
    char piece[PIECE];
    ssize_t size = stream->from < 0 ? 0 : read(stream->from, piece, sizeof piece);
    if (size < 0 && errno == EINTR)
        return 1;
    int is_over = stream->from >= 0 && (size == 0 || (size < 0 && errno != EAGAIN));
    if (size > 0)
        append(&stream->held, piece, (size_t)size);
    if (is_over) {
        close(stream->from);
        stream->from = -1;
    }
    say_masked(stream, is_over);
    return size > 0;
}

/* Wait for the command, pass on what it says without secrets, and return how it ended. What its children say after it is lost. */
static int wait_and_mask(struct stream *streams) {
    int status = 0;
    sigset_t without;
    sigprocmask(SIG_BLOCK, NULL, &without);
    sigdelset(&without, SIGCHLD);
    for (pid_t ended = 0; ended != command;) {
        while ((ended = waitpid(-1, &status, WNOHANG)) > 0 && ended != command)
            ;
        if (ended == command)
            break;
        struct pollfd ready[] = {{.fd = streams[0].from, .events = POLLIN}, {.fd = streams[1].from, .events = POLLIN}};
        if (ppoll(ready, 2, NULL, &without) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (ready[i].revents)
                pass_on(&streams[i]);
    }
    /* As much as a pipe holds: what the command's children go on saying would have no end. */
    for (int i = 0; i < 2; i++) {
        for (int times = 0; times < PIPE_READS && pass_on(&streams[i]); times++)
            ;
        say_masked(&streams[i], 1);
    }
    return status;
}

/* Say on both streams that nothing more comes: who follows them learns it at once, and of a container's end only when its node looks, once
 * a second. It is a hint and no evidence: the command can say the same. */
static void say_end(void) {
    for (int to = 1; to <= 2 && getpid() == 1; to++)
        write_all(to, END, strlen(END));
}

/* Have the command's output come by a pipe. */
static int divert(struct stream *stream, int to) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    *stream = (struct stream){.from = ends[0], .to = to};
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return ends[1];
}

int main(int count, char **arguments) {
    int report[2], reason = 0, status = 0, said[2] = {-1, -1};
    struct stream streams[2] = {{.from = -1}, {.from = -1}};
    if (count < 2) {
        fprintf(stderr, "usage: launch command [argument ...]\n");
        return NOT_STARTED;
    }
    struct sigaction action = {.sa_handler = pass, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaction(passed[i], &action, NULL);
    if (getenv(SECRETS)) {
        know_variables(getenv(SECRETS), DIRECTORIES);
        unsetenv(SECRETS);
    }
    if (form_count) {
        struct sigaction woken = {.sa_handler = wake};
        sigset_t child;
        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        sigaction(SIGCHLD, &woken, NULL);
        sigprocmask(SIG_BLOCK, &child, NULL);
        for (int i = 0; i < 2; i++)
            if ((said[i] = divert(&streams[i], i + 1)) < 0) {
                fprintf(stderr, "what the command says could not be masked: %s\n", strerror(errno));
                return NOT_STARTED;
            }
    }
    if (pipe2(report, O_CLOEXEC) < 0 || (command = fork()) < 0) {
        fprintf(stderr, "no process could be started: %s\n", strerror(errno));
        return NOT_STARTED;
    }
    if (command == 0) {
        for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
            signal(passed[i], SIG_DFL);
        if (form_count) {
            sigset_t child;
            sigemptyset(&child);
            sigaddset(&child, SIGCHLD);
            signal(SIGCHLD, SIG_DFL);
            sigprocmask(SIG_UNBLOCK, &child, NULL);
            dup2(said[0], 1);
            dup2(said[1], 2);
        }
        execvp(arguments[1], arguments + 1);
        reason = errno;
        if (write(report[1], &reason, sizeof reason) < 0)
            _exit(NOT_STARTED + 1);
        _exit(NOT_STARTED);
    }
    close(report[1]);
    for (int i = 0; i < 2; i++)
        if (said[i] >= 0)
            close(said[i]);
    if (read(report[0], &reason, sizeof reason) == sizeof reason) {
        char text[512];
        snprintf(text, sizeof text, "{\"not_started\": \"%s\"}", strerror(reason));
        say(text);
        fprintf(stderr, "the command '%s' could not be started: %s\n", arguments[1], strerror(reason));
        return NOT_STARTED;
    }
    if (form_count)
        status = wait_and_mask(streams);
    else
        for (pid_t ended; (ended = wait(&status)) != command;)
            if (ended < 0 && errno != EINTR)
                return NOT_STARTED;
    say_usage();
    say_end();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
