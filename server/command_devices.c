#include "command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "command_config.h"
#include "covey/authority.h"
#include "ledger.h"

/* Last sights by name, from the ledger; sorted by its places, so searched from end to end: thousands at the
 * most. */
struct sights {
    struct covey_ledger_device *devices;
    size_t count, capacity;
};

static bool keep_sight(void *user, const struct covey_ledger_device *device)
{
    struct sights *sights = user;
    if (sights->count == sights->capacity) {
        const size_t capacity = sights->capacity == 0 ? 256 : 2 * sights->capacity;
        struct covey_ledger_device *more = realloc(sights->devices, capacity * sizeof *more);
        if (more == NULL)
            return false;
        sights->devices = more;
        sights->capacity = capacity;
    }
    sights->devices[sights->count++] = *device;
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct covey_ledger_device *)a)->name,
                  ((const struct covey_ledger_device *)b)->name);
}

static void read_sights(const char *dir, struct sights *out)
{
    struct server_config config = {0};
    struct covey_ledger *ledger = NULL;
    char state[COVEY_FILE_PATH_BYTES], path[COVEY_FILE_PATH_BYTES + 16];
    if (server_config_load(dir, &config, NULL) != COVEY_OK)
        return;
    if (server_config_path(&config, config.server.state, state, NULL) == COVEY_OK) {
        (void)snprintf(path, sizeof path, "%s/ledger.sqlite", state);
        if (covey_ledger_open_to_read(path, &ledger, NULL) == COVEY_OK &&
            covey_ledger_each_device(ledger, keep_sight, out, NULL) != COVEY_OK)
            out->count = 0; /* listed without last sights */
    }
    covey_ledger_close(ledger);
    server_config_free(&config);
    if (out->count > 0)
        qsort(out->devices, out->count, sizeof *out->devices, by_name);
}

struct listing {
    struct sights sights;
    bool json;
    int result;
};

static void when(int64_t seconds, const char *never, char out[24])
{
    const time_t time = (time_t)seconds;
    struct tm parts;
    if (seconds == 0 || gmtime_r(&time, &parts) == NULL)
        (void)snprintf(out, 24, "%s", never);
    else
        (void)strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

static void print_entry(void *user, const struct covey_device_entry *entry)
{
    struct listing *listing = user;
    struct covey_ledger_device key = {0};
    (void)snprintf(key.name, sizeof key.name, "%s", entry->name);
    const struct covey_ledger_device *sight =
        listing->sights.count == 0
            ? NULL
            : bsearch(&key, listing->sights.devices, listing->sights.count, sizeof key, by_name);
    const int64_t last_seen_s = sight == NULL ? 0 : sight->last_seen_s;
    char seen[24], until[24];
    when(last_seen_s, "never", seen);
    when(entry->not_after_s, "-", until);
    if (!listing->json) {
        printf("%-32s %-11s %-9s last seen %-20s valid until %s\n", entry->name,
               strcmp(entry->serial, "psk") == 0 ? "psk" : "certificate",
               entry->revoked ? "withdrawn" : "valid", seen, until);
        return;
    }
    char text[1024];
    struct covey_json json;
    covey_json_init(&json, text, sizeof text);
    covey_json_open(&json, NULL, '{');
    covey_json_text(&json, "device", entry->name);
    covey_json_text(&json, "serial", entry->serial);
    covey_json_bool(&json, "revoked", entry->revoked);
    covey_json_int(&json, "not_after_s", entry->not_after_s);
    covey_json_int(&json, "last_seen_s", last_seen_s);
    covey_json_close(&json, '}');
    if (command_print(&json) != EXIT_DONE)
        listing->result = EXIT_FAILED;
}

int command_devices(const struct command *command, int argc, char **argv)
{
    struct listing listing = {.result = EXIT_DONE};
    struct covey_error err = {0};
    int result;
    if (!command_only_json(command, argc, argv, &listing.json, &result))
        return result;
    if (!command_has(argc, 1))
        return command_misused(command, "the server's directory is wanted, and nothing else");
    read_sights(argv[optind], &listing.sights);
    if (covey_authority_list(argv[optind], print_entry, &listing, &err) != COVEY_OK)
        listing.result = command_failed(&err);
    free(listing.sights.devices);
    return listing.result;
}
