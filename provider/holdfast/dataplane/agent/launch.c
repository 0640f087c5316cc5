/* Process 1 of the user's container: starts the command, passes signals on, reaps what is left to it, ends as the command ends, and
 * says in the termination message how much the container has used. Static, because the image around it is the user's and may hold
 * nothing. Built with: cc -static -Os -o launch launch.c
 *
 * What it says comes from the container's own control group where the kernel counts it, and else from getrusage(2). It is an
 * observation and no evidence: the command can write the same file.
 * Source: cgroup-v2 (memory.peak, cpu.stat), cgroup-v1 (memory.max_usage_in_bytes, cpuacct.usage).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE "/dev/termination-log"
#define NOT_STARTED 126

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

int main(int count, char **arguments) {
    int report[2], reason = 0, status = 0;
    if (count < 2) {
        fprintf(stderr, "usage: launch command [argument ...]\n");
        return NOT_STARTED;
    }
    struct sigaction action = {.sa_handler = pass, .sa_flags = SA_RESTART};
    for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
        sigaction(passed[i], &action, NULL);
    if (pipe2(report, O_CLOEXEC) < 0 || (command = fork()) < 0) {
        fprintf(stderr, "no process could be started: %s\n", strerror(errno));
        return NOT_STARTED;
    }
    if (command == 0) {
        for (size_t i = 0; i < sizeof passed / sizeof *passed; i++)
            signal(passed[i], SIG_DFL);
        execvp(arguments[1], arguments + 1);
        reason = errno;
        if (write(report[1], &reason, sizeof reason) < 0)
            _exit(NOT_STARTED + 1);
        _exit(NOT_STARTED);
    }
    close(report[1]);
    if (read(report[0], &reason, sizeof reason) == sizeof reason) {
        char text[512];
        snprintf(text, sizeof text, "{\"not_started\": \"%s\"}", strerror(reason));
        say(text);
        fprintf(stderr, "the command '%s' could not be started: %s\n", arguments[1], strerror(reason));
        return NOT_STARTED;
    }
    for (pid_t ended; (ended = wait(&status)) != command;)
        if (ended < 0 && errno != EINTR)
            return NOT_STARTED;
    say_usage();
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
