#include "real_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 5

uint64_t real_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void real_pause_ms(uint32_t ms)
{
    const struct timespec pause = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&pause, NULL);
}

enum covey_status real_program_find(const char *name, char out[REAL_PROGRAM_BYTES], struct covey_error *err)
{
    char own[COVEY_FILE_PATH_BYTES];
    const ssize_t size = readlink("/proc/self/exe", own, sizeof own - 1);
    char *slash;
    if (size <= 0)
        return covey_fail(err, COVEY_IO, "/proc/self/exe: %s", strerror(errno));
    own[size] = '\0';
    if ((slash = strrchr(own, '/')) == NULL)
        return covey_fail(err, COVEY_NOT_FOUND, "%s: no folder to look for %s in", own, name);
    *slash = '\0';
    (void)snprintf(out, REAL_PROGRAM_BYTES, "%s/%.30s", own, name);
    if (access(out, X_OK) != 0)
        return covey_fail(err, COVEY_NOT_FOUND,
                          "%s: %s; it is looked for beside covey-sim (ninja covey-server covey-client)", out,
                          strerror(errno));
    return COVEY_OK;
}

/* ------------------------------------------------------------------ starting */

static int open_anew(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

/* In the child: only what is safe between fork and exec. */
static void become(const char *program, char *const *argv, int out, int log, pid_t parent)
{
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setpgid(0, 0); /* Ctrl-C is the parent's: it ends us with SIGTERM */
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(127);
    const int in = open("/dev/null", O_RDONLY);
    if (in >= 0 && dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 &&
        dup2(log, STDERR_FILENO) >= 0)
        (void)execv(program, argv);
    _exit(127);
}

enum covey_status real_process_start(struct real_process *process, const char *program,
                                     const char *const *arguments, const char *out_path, const char *log_path,
                                     struct covey_error *err)
{
    char *argv[REAL_ARGUMENTS + 2] = {(char *)(uintptr_t)program};
    *process = (struct real_process){0};
    (void)snprintf(process->log, sizeof process->log, "%s", log_path);
    for (size_t i = 0; i < REAL_ARGUMENTS && arguments[i] != NULL; i++)
        argv[i + 1] = (char *)(uintptr_t)arguments[i];
    const int log = open_anew(log_path), out = out_path != NULL ? open_anew(out_path) : log;
    enum covey_status status = COVEY_OK;
    if (log < 0 || out < 0) {
        status = covey_fail(err, COVEY_IO, "%s: %s", log < 0 ? log_path : out_path, strerror(errno));
        goto cleanup;
    }
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(program, argv, out, log, parent);
    if (pid < 0)
        status = covey_fail(err, COVEY_LIMIT, "%s: cannot be started: %s", program, strerror(errno));
    else
        process->pid = pid;
cleanup:
    if (out >= 0 && out != log)
        (void)close(out);
    if (log >= 0)
        (void)close(log);
    return status;
}

/* ------------------------------------------------------------------ ending */

bool real_process_ended(struct real_process *process)
{
    if (process->pid == 0)
        return true;
    const pid_t reaped = waitpid(process->pid, &process->status, WNOHANG);
    if (reaped != process->pid && !(reaped < 0 && errno == ECHILD))
        return false;
    process->pid = 0;
    return true;
}

bool real_process_good(const struct real_process *process)
{
    return process->pid == 0 && WIFEXITED(process->status) && WEXITSTATUS(process->status) == 0;
}

static bool wait_for(struct real_process *process, uint32_t patience_ms)
{
    const uint64_t until_ms = real_now_ms() + patience_ms;
    while (!real_process_ended(process)) {
        if (real_now_ms() >= until_ms)
            return false;
        real_pause_ms(LOOK_MS);
    }
    return true;
}

void real_process_end(struct real_process *process, uint32_t patience_ms)
{
    if (real_process_ended(process))
        return;
    (void)kill(process->pid, SIGTERM);
    if (wait_for(process, patience_ms))
        return;
    (void)kill(process->pid, SIGKILL);
    while (waitpid(process->pid, &process->status, 0) < 0 && errno == EINTR)
        ;
    process->pid = 0;
}

/* The last line of a file that is not empty; cut to fit. */
static void read_last_line(const char *path, char *out, size_t out_bytes)
{
    char tail[2048];
    FILE *file = fopen(path, "re");
    size_t size = 0;
    out[0] = '\0';
    if (file == NULL)
        return;
    if (fseek(file, -(long)(sizeof tail - 1), SEEK_END) != 0)
        rewind(file);
    size = fread(tail, 1, sizeof tail - 1, file);
    (void)fclose(file);
    while (size > 0 && (tail[size - 1] == '\n' || tail[size - 1] == '\r'))
        size--;
    tail[size] = '\0';
    const char *line = strrchr(tail, '\n');
    (void)snprintf(out, out_bytes, "%.*s", (int)out_bytes - 1, line != NULL ? line + 1 : tail);
}

void real_process_last_words(const struct real_process *process, char out[REAL_WORDS_BYTES])
{
    char line[REAL_WORDS_BYTES - 60];
    read_last_line(process->log, line, sizeof line);
    if (process->pid != 0)
        (void)snprintf(out, REAL_WORDS_BYTES, "still runs; it said last: %s", line);
    else if (WIFSIGNALED(process->status))
        (void)snprintf(out, REAL_WORDS_BYTES, "was ended by signal %d: %s", WTERMSIG(process->status), line);
    else
        (void)snprintf(out, REAL_WORDS_BYTES, "ended with status %d: %s", WEXITSTATUS(process->status), line);
}

enum covey_status real_process_run(const char *program, const char *const *arguments, const char *log_path,
                                   uint32_t patience_ms, struct covey_error *err)
{
    struct real_process process;
    char words[REAL_WORDS_BYTES];
    COVEY_TRY(real_process_start(&process, program, arguments, NULL, log_path, err));
    const bool ended = wait_for(&process, patience_ms);
    real_process_end(&process, LOOK_MS);
    if (ended && real_process_good(&process))
        return COVEY_OK;
    real_process_last_words(&process, words);
    return covey_fail(err, COVEY_STATE, "%s %s %s", program, arguments[0], words);
}
