#include "policy.h"

#include <ctype.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SENSOR_TEXT_BYTES 64
#define SENSORS_MAX 64 /* supplies or zones looked at */

/* ---- sensors ---- */

/* The first line of a small file; false when it cannot be read. */
static bool read_line(const char *path, char out[SENSOR_TEXT_BYTES])
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false;
    bool good = fgets(out, SENSOR_TEXT_BYTES, file) != NULL;
    fclose(file);
    if (good)
        out[strcspn(out, "\n")] = 0;
    return good;
}

static bool read_sensor(const char *folder, const char *entry, const char *name, char out[SENSOR_TEXT_BYTES])
{
    char path[COVEY_FILE_PATH_BYTES];
    if (snprintf(path, sizeof path, "%s/%s/%s", folder, entry, name) >= (int)sizeof path)
        return false;
    return read_line(path, out);
}

/* One of /sys/class/power_supply; *any_mains_supply: there is one that tells. */
static void add_supply(const char *folder, const char *entry, struct covey_conditions *out,
                       bool *any_mains_supply, bool *discharging)
{
    char text[SENSOR_TEXT_BYTES];
    if (read_sensor(folder, entry, "scope", text) && strcmp(text, "Device") == 0)
        return; /* a mouse's battery, not ours */
    if (!read_sensor(folder, entry, "type", text))
        return;
    if (strcmp(text, "Battery") != 0) {
        if (read_sensor(folder, entry, "online", text)) {
            out->mains |= atoi(text) > 0;
            *any_mains_supply = true;
        }
        return;
    }
    if (read_sensor(folder, entry, "status", text) && strcmp(text, "Discharging") == 0)
        *discharging = true;
    if (read_sensor(folder, entry, "capacity", text) && atoi(text) > out->battery_percent)
        out->battery_percent = atoi(text);
}

static void read_power(const char *root, struct covey_conditions *out)
{
    char folder[COVEY_FILE_PATH_BYTES];
    bool any_mains_supply = false, discharging = false;
    snprintf(folder, sizeof folder, "%s/sys/class/power_supply", root);
    out->mains = false;
    out->battery_percent = -1;
    DIR *supplies = opendir(folder);
    int seen = 0;
    for (struct dirent *entry; supplies != NULL && seen < SENSORS_MAX && (entry = readdir(supplies)) != NULL;
         seen++)
        if (entry->d_name[0] != '.')
            add_supply(folder, entry->d_name, out, &any_mains_supply, &discharging);
    if (supplies != NULL)
        closedir(supplies);
    if (!any_mains_supply)
        out->mains =
            !discharging; /* no supply says: what the battery does tells; without a battery there is mains */
}

static double read_temperature(const char *root)
{
    char folder[COVEY_FILE_PATH_BYTES], text[SENSOR_TEXT_BYTES];
    double hottest = NAN;
    snprintf(folder, sizeof folder, "%s/sys/class/thermal", root);
    DIR *zones = opendir(folder);
    int seen = 0;
    for (struct dirent *entry; zones != NULL && seen < SENSORS_MAX && (entry = readdir(zones)) != NULL;
         seen++) {
        if (strncmp(entry->d_name, "thermal_zone", 12) != 0 ||
            !read_sensor(folder, entry->d_name, "temp", text))
            continue;
        double celsius = atof(text) / 1000;
        if (!(celsius <= hottest) && celsius > -100 && celsius < 300) /* also when hottest is NaN yet */
            hottest = celsius;
    }
    if (zones != NULL)
        closedir(zones);
    return hottest;
}

static double read_load(const char *root)
{
    char path[COVEY_FILE_PATH_BYTES], text[SENSOR_TEXT_BYTES];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    snprintf(path, sizeof path, "%s/proc/loadavg", root);
    if (!read_line(path, text) || !isdigit((unsigned char)text[0]))
        return NAN;
    return atof(text) / (double)(processors > 0 ? processors : 1);
}

uint32_t covey_minute_of_day(int64_t wall_s)
{
    const time_t now = (time_t)wall_s;
    struct tm local = {0};
    return localtime_r(&now, &local) != NULL ? (uint32_t)(local.tm_hour * 60 + local.tm_min) : 0;
}

void covey_conditions_read(const char *root, int64_t wall_s, struct covey_conditions *out)
{
    *out = (struct covey_conditions){.load = read_load(root),
                                     .temperature_celsius = read_temperature(root),
                                     .minute_of_day = covey_minute_of_day(wall_s)};
    read_power(root, out);
}

/* ---- the decision ---- */

/* Mains power, or enough in the battery: either will do when both are asked for. */
static bool power_allows(const struct covey_client_policy *policy, const struct covey_conditions *now,
                         char *why, size_t why_bytes)
{
    bool battery_wanted = policy->battery_percent > 0;
    if ((!policy->mains && !battery_wanted) || now->mains)
        return true;
    if (battery_wanted && now->battery_percent >= policy->battery_percent)
        return true;
    if (battery_wanted)
        snprintf(why, why_bytes, "on battery at %d %%, %d are wanted", now->battery_percent,
                 (int)policy->battery_percent);
    else
        snprintf(why, why_bytes, "on battery");
    return false;
}

bool covey_policy_allows(const struct covey_client_policy *policy, const struct covey_conditions *now,
                         char *why, size_t why_bytes)
{
    struct covey_hours hours = {0};
    if (policy->hours != NULL && covey_hours_parse(policy->hours, &hours, NULL) == COVEY_OK &&
        !covey_hours_hold(&hours, now->minute_of_day)) {
        snprintf(why, why_bytes, "it is %02u:%02u, outside of %s", now->minute_of_day / 60,
                 now->minute_of_day % 60, policy->hours);
        return false;
    }
    if (!power_allows(policy, now, why, why_bytes))
        return false;
    /* What cannot be read does not forbid. */
    if (policy->temperature_celsius > 0 && now->temperature_celsius >= policy->temperature_celsius) {
        snprintf(why, why_bytes, "%.0f degrees, below %.0f are wanted", now->temperature_celsius,
                 policy->temperature_celsius);
        return false;
    }
    if (policy->load > 0 && now->load >= policy->load) {
        snprintf(why, why_bytes, "a load of %.2f a processor, below %.2f is wanted", now->load, policy->load);
        return false;
    }
    return true;
}
