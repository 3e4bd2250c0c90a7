/* The ledger: what was acknowledged is there, whatever happens to the process or the disk. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "covey/hash.h"
#include "fake_host.h"
#include "ledger.h"

#define BODY_BYTES 3000

static void path_of(const char *folder, char out[128])
{
    (void)snprintf(out, 128, "%s/ledger.sqlite", folder);
}

static struct covey_ledger *open_at(const char *folder)
{
    char path[128];
    struct covey_error err = {0};
    struct covey_ledger *ledger = NULL;
    path_of(folder, path);
    cr_assert_eq(covey_crypto_start(NULL), COVEY_OK);
    cr_assert_eq(covey_ledger_open(path, &ledger, &err), COVEY_OK, "%s", err.text);
    return ledger;
}

static struct covey_ledger_round round_of(uint32_t number, uint32_t slots)
{
    struct covey_ledger_round round = {.federation = "f",
                                       .round = number,
                                       .base_sequence = number,
                                       .opened_ms = 1000 * number,
                                       .deadline_ms = 1000 * number + 500,
                                       .slots = slots,
                                       .goal = slots};
    memset(round.base_model.bytes, (int)number, sizeof round.base_model.bytes);
    return round;
}

static struct covey_assignment_id id_of(uint32_t round, uint32_t slot)
{
    struct covey_assignment_id id = {{0}};
    memcpy(id.bytes, &round, 4);
    memcpy(id.bytes + 4, &slot, 4);
    return id;
}

static void open_round(struct covey_ledger *ledger, uint32_t number, uint32_t slots)
{
    struct covey_ledger_assignment *cohort = calloc(slots, sizeof *cohort);
    for (uint32_t i = 0; i < slots; i++) {
        cohort[i].id = id_of(number, i);
        (void)snprintf(cohort[i].device, sizeof cohort[i].device, "device-%u", i);
    }
    const struct covey_ledger_round round = round_of(number, slots);
    const uint8_t grid[] = {1, 2, 3, (uint8_t)number};
    struct covey_error err = {0};
    cr_assert_eq(covey_ledger_open_round(ledger, &round, (struct covey_bytes){grid, 4}, cohort, &err),
                 COVEY_OK, "%s", err.text);
    free(cohort);
}

static void close_round(struct covey_ledger *ledger, uint32_t number, enum covey_ledger_round_state state)
{
    struct covey_ledger_round round = round_of(number, 3);
    round.state = state;
    round.sequence = number + 1;
    round.updates = 2;
    round.dropped = 1;
    round.train_loss = NAN;
    cr_assert_eq(covey_ledger_close_round(ledger, &round, NULL), COVEY_OK);
}

/* One update and the wait for its answer. The body is a function of (round, slot, spoil). */
struct sent {
    struct covey_ledger_record record;
    uint8_t body[BODY_BYTES];
    pthread_mutex_t mutex;
    pthread_cond_t ready;
    bool done;
    enum covey_status status;
};

static void answered(struct covey_ledger_record *record, enum covey_status status,
                     const struct covey_error *err)
{
    (void)err;
    struct sent *sent = record->user;
    pthread_mutex_lock(&sent->mutex);
    sent->status = status;
    sent->done = true;
    pthread_cond_signal(&sent->ready);
    pthread_mutex_unlock(&sent->mutex);
}

static void fill_body(uint8_t body[BODY_BYTES], uint32_t round, uint32_t slot, uint32_t spoil)
{
    for (uint32_t i = 0; i < BODY_BYTES; i++)
        body[i] = (uint8_t)(i * 7 + round * 31 + slot * 13 + spoil);
    memcpy(body, "needle", 6);
}

static void start(struct covey_ledger *ledger, struct sent *sent, uint32_t round, uint32_t slot,
                  uint32_t spoil)
{
    memset(sent, 0, sizeof *sent);
    pthread_mutex_init(&sent->mutex, NULL);
    pthread_cond_init(&sent->ready, NULL);
    fill_body(sent->body, round, slot, spoil);
    struct covey_ledger_update *update = &sent->record.update;
    (void)snprintf(update->federation, sizeof update->federation, "f");
    (void)snprintf(update->device, sizeof update->device, "device-%u", slot);
    update->assignment = id_of(round, slot);
    update->round = round;
    update->slot = slot;
    update->examples = 10 + slot;
    update->stream_bytes = BODY_BYTES - 100;
    update->loss_after = 0.5;
    update->body = (struct covey_bytes){sent->body, BODY_BYTES};
    cr_assert_eq(covey_hash_bytes(update->body, &update->body_hash), COVEY_OK);
    sent->record.done = answered;
    sent->record.user = sent;
    cr_assert_eq(covey_ledger_record(ledger, &sent->record), COVEY_OK);
}

static enum covey_status await_answer(struct sent *sent)
{
    pthread_mutex_lock(&sent->mutex);
    while (!sent->done)
        pthread_cond_wait(&sent->ready, &sent->mutex);
    pthread_mutex_unlock(&sent->mutex);
    return sent->status;
}

static enum covey_ledger_outcome record(struct covey_ledger *ledger, uint32_t round, uint32_t slot,
                                        uint32_t spoil)
{
    struct sent *sent = malloc(sizeof *sent);
    start(ledger, sent, round, slot, spoil);
    cr_assert_eq(await_answer(sent), COVEY_OK);
    const enum covey_ledger_outcome outcome = sent->record.outcome;
    free(sent);
    return outcome;
}

/* ------------------------------------------------------------------ what it holds */

struct seen {
    uint32_t count, slots[4096];
};

static enum covey_status see_update(void *user, const struct covey_ledger_update *update,
                                    struct covey_error *err)
{
    (void)err;
    struct seen *seen = user;
    uint8_t body[BODY_BYTES];
    fill_body(body, update->round, update->slot, 0);
    cr_assert_eq(update->body.size, BODY_BYTES);
    cr_assert_eq(memcmp(update->body.data, body, BODY_BYTES), 0, "slot %u holds other bytes", update->slot);
    cr_assert_eq(update->examples, 10 + update->slot);
    seen->slots[seen->count++] = update->slot;
    return COVEY_OK;
}

static bool see_round(void *user, const struct covey_ledger_round *round)
{
    struct covey_ledger_round *out = user;
    out[round->round] = *round;
    return true;
}

Test(ledger, keeps_rounds_assignments_and_updates)
{
    char folder[64];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    open_round(ledger, 1, 3);
    const struct covey_ledger_round again = round_of(1, 3);
    cr_expect_eq(covey_ledger_open_round(ledger, &again, (struct covey_bytes){NULL, 0}, NULL, NULL),
                 COVEY_EXISTS);
    cr_expect_eq(record(ledger, 1, 0, 0), COVEY_LEDGER_RECORDED);
    cr_expect_eq(record(ledger, 1, 0, 0), COVEY_LEDGER_REPEATED);
    cr_expect_eq(record(ledger, 1, 0, 1), COVEY_LEDGER_CONFLICTING);
    cr_expect_eq(record(ledger, 1, 2, 0), COVEY_LEDGER_RECORDED);

    struct seen seen = {0};
    cr_assert_eq(covey_ledger_each_update(ledger, "f", 1, see_update, &seen, NULL), COVEY_OK);
    cr_expect_eq(seen.count, 2);
    uint8_t grid[16];
    size_t size = sizeof grid;
    cr_assert_eq(covey_ledger_read_grid(ledger, "f", 1, grid, &size, NULL), COVEY_OK);
    cr_expect(size == 4 && grid[3] == 1);
    size = 2;
    cr_expect_eq(covey_ledger_read_grid(ledger, "f", 1, grid, &size, NULL), COVEY_LIMIT);
    size = sizeof grid;
    cr_expect_eq(covey_ledger_read_grid(ledger, "f", 9, grid, &size, NULL), COVEY_NOT_FOUND);

    char federation[COVEY_NAME_BYTES], device[COVEY_NAME_BYTES];
    uint32_t round = 0;
    struct covey_assignment_id id = id_of(1, 1);
    cr_assert_eq(covey_ledger_find_assignment(ledger, &id, federation, device, &round, NULL), COVEY_OK);
    cr_expect(strcmp(device, "device-1") == 0 && strcmp(federation, "f") == 0 && round == 1);
    id = id_of(7, 7);
    cr_expect_eq(covey_ledger_find_assignment(ledger, &id, federation, device, &round, NULL),
                 COVEY_NOT_FOUND);

    close_round(ledger, 1, COVEY_LEDGER_CLOSED);
    close_round(ledger, 1, COVEY_LEDGER_CLOSED); /* again is no harm */
    struct covey_ledger_round missing = round_of(5, 1);
    cr_expect_eq(covey_ledger_close_round(ledger, &missing, NULL), COVEY_NOT_FOUND);
    cr_assert_eq(covey_ledger_judge_round(ledger, "f", 1, 0.25, 0.75, NULL), COVEY_OK);
    seen.count = 0;
    cr_assert_eq(covey_ledger_each_update(ledger, "f", 1, see_update, &seen, NULL), COVEY_OK);
    cr_expect_eq(seen.count, 0, "the bytes go with the round");
    cr_expect_eq(record(ledger, 1, 0, 0), COVEY_LEDGER_REPEATED, "the keys stay");
    cr_expect_eq(record(ledger, 1, 0, 1), COVEY_LEDGER_CONFLICTING);

    struct covey_ledger_round rounds[8] = {0};
    covey_ledger_close(ledger);
    ledger = open_at(folder);
    cr_assert_eq(covey_ledger_each_round(ledger, "f", 0, see_round, rounds, NULL), COVEY_OK);
    cr_expect_eq(rounds[1].state, COVEY_LEDGER_CLOSED);
    cr_expect_eq(rounds[1].updates, 2);
    cr_expect(rounds[1].judged && rounds[1].metric == 0.75 && rounds[1].loss == 0.25);
    cr_expect(isnan(rounds[1].train_loss));
    cr_expect_eq(rounds[1].base_model.bytes[31], 1);
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

Test(ledger, forgets_what_is_too_old_to_answer)
{
    char folder[64];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    for (uint32_t round = 1; round <= COVEY_LEDGER_KEEP_ROUNDS + 3; round++) {
        open_round(ledger, round, 1);
        cr_assert_eq(record(ledger, round, 0, 0), COVEY_LEDGER_RECORDED);
        close_round(ledger, round, COVEY_LEDGER_CLOSED);
    }
    struct covey_hash hash;
    struct covey_assignment_id first = id_of(2, 0), third = id_of(3, 0);
    cr_expect_eq(covey_ledger_find_update(ledger, "device-0", &first, &hash, NULL), COVEY_NOT_FOUND);
    cr_expect_eq(covey_ledger_find_update(ledger, "device-0", &third, &hash, NULL), COVEY_OK);
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

static bool see_metric(void *user, const struct covey_ledger_metric *metric)
{
    uint32_t *names = user;
    (*names)++;
    if (strcmp(metric->name, "m0") == 0)
        cr_expect(metric->devices == 2 && metric->mean == 2 && metric->minimum == 1 && metric->maximum == 3);
    return true;
}

static bool see_device(void *user, const struct covey_ledger_device *device)
{
    uint32_t *count = user;
    cr_expect_eq(device->place, *count);
    cr_expect_eq(device->last_seen_s, 50 + 10 * (*count == 1));
    (*count)++;
    return true;
}

Test(ledger, notes_devices_metrics_and_facts_within_bounds)
{
    char folder[64], text[32];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    struct covey_ledger_device devices[2] = {{"a", 0, 10, 50}, {"b", 1, 20, 50}};
    cr_assert_eq(covey_ledger_note_devices(ledger, devices, 2, NULL), COVEY_OK);
    devices[1].last_seen_s = 60;
    cr_assert_eq(covey_ledger_note_devices(ledger, devices + 1, 1, NULL), COVEY_OK);
    uint32_t count = 0;
    cr_assert_eq(covey_ledger_each_device(ledger, see_device, &count, NULL), COVEY_OK);
    cr_expect_eq(count, 2);

    for (uint32_t batch = 0; batch < 4; batch++) { /* 128 names: half of them are dropped */
        struct covey_metrics metrics = {.count = COVEY_METRICS_RECORDS};
        for (uint32_t i = 0; i < COVEY_METRICS_RECORDS; i++) {
            (void)snprintf(metrics.records[i].name, sizeof metrics.records[i].name, "m%u",
                           batch * COVEY_METRICS_RECORDS + i);
            metrics.records[i].value = 1;
        }
        cr_assert_eq(covey_ledger_note_metrics(ledger, "f", "a", 5, &metrics, NULL), COVEY_OK);
        metrics.records[0].value = 3;
        cr_assert_eq(covey_ledger_note_metrics(ledger, "f", "b", 5, &metrics, NULL), COVEY_OK);
    }
    count = 0;
    cr_assert_eq(covey_ledger_each_metric(ledger, "f", see_metric, &count, NULL), COVEY_OK);
    cr_expect_eq(count, COVEY_LEDGER_METRIC_NAMES);

    cr_assert_eq(covey_ledger_set_note(ledger, "f", "test", "1", NULL), COVEY_OK);
    cr_assert_eq(covey_ledger_set_note(ledger, "f", "test", "2", NULL), COVEY_OK);
    cr_assert_eq(covey_ledger_get_note(ledger, "f", "test", text, sizeof text, NULL), COVEY_OK);
    cr_expect_str_eq(text, "2");
    cr_expect_eq(covey_ledger_get_note(ledger, "g", "test", text, sizeof text, NULL), COVEY_NOT_FOUND);

    char path[128];
    struct covey_ledger *reader = NULL;
    path_of(folder, path);
    cr_assert_eq(covey_ledger_open_to_read(path, &reader, NULL), COVEY_OK, "beside a writer");
    cr_expect_eq(covey_ledger_set_note(reader, "f", "test", "3", NULL), COVEY_STATE);
    cr_assert_eq(covey_ledger_get_note(reader, "f", "test", text, sizeof text, NULL), COVEY_OK);
    covey_ledger_close(reader);
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

static bool see_standing(void *user, const char *device, const struct covey_device_record *record)
{
    if (strcmp(device, "device-0") == 0)
        *(struct covey_device_record *)user = *record;
    return true;
}

Test(ledger, keeps_what_choosing_a_cohort_wants_to_know)
{
    char folder[64];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    struct covey_device_record known = {0};
    for (uint32_t number = 1; number <= 3; number++)
        open_round(ledger, number, 2);
    cr_expect_eq(record(ledger, 2, 0, 0), COVEY_LEDGER_RECORDED);
    cr_expect_eq(record(ledger, 3, 1, 0), COVEY_LEDGER_RECORDED);
    covey_ledger_close(ledger);

    ledger = open_at(folder);
    cr_assert_eq(covey_ledger_each_standing(ledger, "f", see_standing, &known, NULL), COVEY_OK);
    cr_expect_eq(known.chosen, 3);
    cr_expect_eq(known.last_round, 2);
    cr_expect_eq(known.examples, 10);
    known = (struct covey_device_record){0};
    cr_assert_eq(covey_ledger_each_standing(ledger, "g", see_standing, &known, NULL), COVEY_OK);
    cr_expect_eq(known.chosen, 0, "another federation's");
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

Test(ledger, refuses_what_is_none)
{
    char folder[64], path[128];
    struct covey_error err = {0};
    struct covey_ledger *ledger = NULL;
    fake_folder_make(folder);
    path_of(folder, path);
    cr_expect_eq(covey_ledger_open_to_read(path, &ledger, &err), COVEY_NOT_FOUND);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 2000; i++)
        fputs("this is not a ledger ", file);
    fclose(file);
    cr_expect_eq(covey_ledger_open(path, &ledger, &err), COVEY_CORRUPT, "%s", err.text);
    cr_expect_null(ledger);
    fake_folder_remove(folder);
}

/* ------------------------------------------------------------------ many at once */

struct sender {
    struct covey_ledger *ledger;
    uint32_t first, count;
};

static void *send_many(void *user)
{
    const struct sender *sender = user;
    struct sent *sent = calloc(sender->count, sizeof *sent);
    for (uint32_t i = 0; i < sender->count; i++)
        start(sender->ledger, &sent[i], 1, sender->first + i, 0);
    for (uint32_t i = 0; i < sender->count; i++)
        cr_assert_eq(await_answer(&sent[i]), COVEY_OK);
    free(sent);
    return NULL;
}

Test(ledger, shares_commits_among_those_who_come_at_once)
{
    enum { THREADS = 4, EACH = 100 };
    char folder[64];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    open_round(ledger, 1, THREADS * EACH);
    pthread_t threads[THREADS];
    struct sender senders[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        senders[i] = (struct sender){ledger, i * EACH, EACH};
        cr_assert_eq(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    struct covey_ledger_writer_figures figures;
    covey_ledger_figures(ledger, &figures);
    cr_expect_eq(figures.jobs, THREADS * EACH + 1);
    cr_expect_lt(figures.commits, figures.jobs / 2, "%lu commits for %lu jobs",
                 (unsigned long)figures.commits, (unsigned long)figures.jobs);
    struct seen *seen = calloc(1, sizeof *seen);
    cr_assert_eq(covey_ledger_each_update(ledger, "f", 1, see_update, seen, NULL), COVEY_OK);
    cr_expect_eq(seen->count, THREADS * EACH);
    free(seen);
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

/* ------------------------------------------------------------------ death and disks */

/* The child writes for ever, and says on the pipe which slots were acknowledged. */
static pid_t start_writer(const char *folder, int pipe_out)
{
    const pid_t child = fork();
    cr_assert_neq(child, -1);
    if (child != 0)
        return child;
    struct covey_ledger *ledger = open_at(folder);
    open_round(ledger, 1, 4096);
    struct sent *sent = calloc(16, sizeof *sent);
    for (uint32_t slot = 0; slot + 16 <= 4096; slot += 16) {
        for (uint32_t i = 0; i < 16; i++)
            start(ledger, &sent[i], 1, slot + i, 0);
        for (uint32_t i = 0; i < 16; i++) {
            const uint32_t acknowledged = slot + i;
            if (await_answer(&sent[i]) == COVEY_OK && write(pipe_out, &acknowledged, 4) != 4)
                _exit(3);
        }
    }
    for (;;)
        pause();
}

static void check_copy(const char *folder, const bool acknowledged[4096])
{
    struct covey_ledger *ledger = open_at(folder);
    struct seen *seen = calloc(1, sizeof *seen);
    bool there[4096] = {false};
    struct covey_error err = {0};
    cr_assert_eq(covey_ledger_each_update(ledger, "f", 1, see_update, seen, &err), COVEY_OK, "%s", err.text);
    for (uint32_t i = 0; i < seen->count; i++)
        there[seen->slots[i]] = true;
    for (uint32_t slot = 0; slot < 4096; slot++)
        cr_assert(!acknowledged[slot] || there[slot], "slot %u was acknowledged and is gone", slot);
    free(seen);
    covey_ledger_close(ledger);
}

/* Everything that is in the pipe by now. */
static void read_acknowledged(int pipe_in, bool acknowledged[4096])
{
    uint32_t slot;
    while (read(pipe_in, &slot, 4) == 4)
        acknowledged[slot] = true;
}

Test(ledger, holds_what_it_acknowledged_when_the_process_dies_at_any_point, .timeout = 120)
{
    char folder[64], command[256];
    int ends[2];
    bool acknowledged[4096] = {false};
    fake_folder_make(folder);
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
    const pid_t child = start_writer(folder, ends[1]);
    for (int copy = 0; copy < 12; copy++) {
        char other[64];
        fake_folder_make(other);
        fake_sleep_ms(15 + 7 * (uint32_t)copy);
        cr_assert_eq(kill(child, SIGSTOP), 0); /* between two instructions, wherever it is */
        int status;
        cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
        read_acknowledged(ends[0], acknowledged);
        (void)snprintf(command, sizeof command, "cp -r '%s'/. '%s'", folder, other);
        cr_assert_eq(system(command), 0);
        cr_assert_eq(kill(child, SIGCONT), 0);
        if (access(other, R_OK) == 0 && acknowledged[0])
            check_copy(other, acknowledged);
        fake_folder_remove(other);
    }
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    read_acknowledged(ends[0], acknowledged);
    cr_assert(acknowledged[0], "the child never got to write");
    check_copy(folder, acknowledged);
    close(ends[0]);
    close(ends[1]);
    fake_folder_remove(folder);
}

Test(ledger, refuses_and_recovers_when_the_disk_is_full)
{
    char folder[64];
    fake_folder_make(folder);
    struct covey_ledger *ledger = open_at(folder);
    open_round(ledger, 1, 4096);
    struct rlimit before, small;
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    char path[128], log[144];
    struct stat facts;
    path_of(folder, path);
    (void)snprintf(log, sizeof log, "%s-wal", path);
    cr_assert_eq(stat(log, &facts), 0);
    small = before; /* the write-ahead log cannot grow much further: EFBIG, as ENOSPC would be */
    small.rlim_cur = (rlim_t)facts.st_size + 200000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    bool acknowledged[4096] = {false};
    uint32_t failures = 0, slot = 0;
    struct sent *sent = malloc(sizeof *sent);
    for (; slot < 2000 && failures < 5; slot++) {
        start(ledger, sent, 1, slot, 0);
        acknowledged[slot] = await_answer(sent) == COVEY_OK;
        failures += !acknowledged[slot];
    }
    cr_assert_eq(failures, 5, "the limit was never met");
    cr_assert(acknowledged[0]);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    for (uint32_t i = 0; i < slot; i++) /* the refused come again */
        if (!acknowledged[i]) {
            start(ledger, sent, 1, i, 0);
            cr_assert_eq(await_answer(sent), COVEY_OK, "slot %u after the disk had room again", i);
            acknowledged[i] = true;
        }
    free(sent);
    covey_ledger_close(ledger);
    check_copy(folder, acknowledged);
    fake_folder_remove(folder);
}

Test(ledger, finds_damaged_bytes_and_passes_the_others_on)
{
    char folder[64], path[128];
    fake_folder_make(folder);
    path_of(folder, path);
    struct covey_ledger *ledger = open_at(folder);
    open_round(ledger, 1, 3);
    for (uint32_t slot = 0; slot < 3; slot++)
        (void)record(ledger, 1, slot, 0);
    covey_ledger_close(ledger); /* all of it is in the one file now */

    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    char *text = malloc(1 << 20);
    const size_t size = fread(text, 1, 1 << 20, file);
    size_t at = 0;
    while (at + 6 < size && memcmp(text + at, "needle", 6) != 0)
        at++;
    cr_assert_lt(at + 6, size);
    cr_assert_eq(fseek(file, (long)at + 40, SEEK_SET), 0);
    fputc(text[at + 40] ^ 1, file);
    fclose(file);
    free(text);

    ledger = open_at(folder);
    struct seen seen = {0};
    struct covey_error err = {0};
    cr_expect_eq(covey_ledger_each_update(ledger, "f", 1, see_update, &seen, &err), COVEY_CORRUPT);
    cr_expect_eq(seen.count, 2);
    cr_expect_not_null(strstr(err.text, "damaged"), "%s", err.text);
    covey_ledger_close(ledger);
    fake_folder_remove(folder);
}

/* ------------------------------------------------------------------ the writer alone */

struct counted {
    struct covey_ledger_job job;
    int runs, answers;
    enum covey_status answer;
    bool bad;
};
struct book {
    int begins, commits, rollbacks, failing_commits;
};
static enum covey_status book_begin(void *database, struct covey_error *err)
{
    (void)err;
    ((struct book *)database)->begins++;
    return COVEY_OK;
}
static enum covey_status book_commit(void *database, struct covey_error *err)
{
    struct book *book = database;
    if (book->failing_commits > 0) {
        book->failing_commits--;
        return covey_fail(err, COVEY_IO, "no room");
    }
    book->commits++;
    return COVEY_OK;
}
static void book_rollback(void *database)
{
    ((struct book *)database)->rollbacks++;
}
static enum covey_status run_counted(void *database, struct covey_ledger_job *job, struct covey_error *err)
{
    (void)database;
    struct counted *counted = (struct counted *)job;
    counted->runs++;
    return counted->bad ? covey_fail(err, COVEY_INVALID, "a bad job") : COVEY_OK;
}
static void answer_counted(struct covey_ledger_job *job, enum covey_status status,
                           const struct covey_error *err)
{
    (void)err;
    struct counted *counted = (struct counted *)job;
    counted->answers++;
    counted->answer = status;
}

Test(ledger_writer, a_bad_job_fails_alone)
{
    static const struct covey_ledger_writer_ops ops = {book_begin, book_commit, book_rollback};
    struct book book = {0};
    struct covey_ledger_writer *writer = NULL;
    struct counted jobs[20];
    memset(jobs, 0, sizeof jobs);
    cr_assert_eq(covey_ledger_writer_create(&ops, &book, &writer, NULL), COVEY_OK);
    for (int i = 0; i < 20; i++) {
        jobs[i].job.execute = run_counted;
        jobs[i].job.done = answer_counted;
        jobs[i].bad = i == 7;
        cr_assert_eq(covey_ledger_writer_post(writer, &jobs[i].job), COVEY_OK);
    }
    covey_ledger_writer_destroy(writer); /* works off the queue first */
    for (int i = 0; i < 20; i++) {
        cr_expect_eq(jobs[i].answers, 1);
        cr_expect_eq(jobs[i].answer, i == 7 ? COVEY_INVALID : COVEY_OK, "job %d", i);
    }
    cr_expect_eq(book.begins, book.commits + book.rollbacks);
}
