/* Programs of this house, run as children: started with their output in files, waited for with a deadline,
 * ended by their id, always reaped. They end with whoever started them. One thread. */
#ifndef COVEY_REAL_PROCESS_H
#define COVEY_REAL_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "covey/limits.h"
#include "covey/status.h"

#define REAL_PROGRAM_BYTES (COVEY_FILE_PATH_BYTES + 32)
#define REAL_ARGUMENTS 12
#define REAL_WORDS_BYTES 300 /* of what a program said last */

struct real_process {
    pid_t pid; /* 0: none, or reaped */
    int status;
    char log[REAL_PROGRAM_BYTES]; /* its standard error */
};

/* FOLDER/NAME of the folder that this program was started from. NOT_FOUND when it cannot be run. */
COVEY_MUST_CHECK enum covey_status real_program_find(const char *name, char out[REAL_PROGRAM_BYTES],
                                                     struct covey_error *err);

/* arguments: up to REAL_ARGUMENTS, NULL behind the last; out_path: its standard output, NULL: into the log;
 * both files are made anew. */
COVEY_MUST_CHECK enum covey_status real_process_start(struct real_process *process, const char *program,
                                                      const char *const *arguments, const char *out_path,
                                                      const char *log_path, struct covey_error *err);
/* Reaps it when it has ended: status as waitpid gives it. True too when it had been reaped. */
bool real_process_ended(struct real_process *process);
bool real_process_good(const struct real_process *process); /* ended by itself, with status 0 */
/* SIGTERM; SIGKILL when that did not do in patience_ms; reaps. */
void real_process_end(struct real_process *process, uint32_t patience_ms);
/* "ended with status 2: covey-client run: ..." */
void real_process_last_words(const struct real_process *process, char out[REAL_WORDS_BYTES]);

/* To its end: STATE with its last words when it failed or took longer than patience_ms. */
COVEY_MUST_CHECK enum covey_status real_process_run(const char *program, const char *const *arguments,
                                                    const char *log_path, uint32_t patience_ms,
                                                    struct covey_error *err);

uint64_t real_now_ms(void); /* of a clock that never falls */
void real_pause_ms(uint32_t ms);

#endif
