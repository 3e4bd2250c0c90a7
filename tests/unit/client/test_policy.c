/* When a device may train, with sensors of files. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "policy.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char whole[256];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = 0;
        mkdir(whole, 0755);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert(file != NULL, "%s", whole);
    fputs(text, file);
    fclose(file);
}

static void make_root(void)
{
    strcpy(root, "/tmp/covey-sensors-XXXXXX");
    cr_assert(mkdtemp(root) != NULL);
}

static void remove_root(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert(system(command) == 0);
}

TestSuite(policy, .init = make_root, .fini = remove_root);

Test(policy, sensors)
{
    struct covey_conditions now;
    covey_conditions_read(root, 0, &now);
    cr_assert(now.mains && now.battery_percent == -1, "no battery: it has mains power");
    cr_assert(isnan(now.temperature_celsius) && isnan(now.load));

    put("sys/class/power_supply/BAT0/type", "Battery\n");
    put("sys/class/power_supply/BAT0/capacity", "41\n");
    put("sys/class/power_supply/BAT0/status", "Discharging\n");
    put("sys/class/power_supply/mouse/type", "Battery\n");
    put("sys/class/power_supply/mouse/scope", "Device\n");
    put("sys/class/power_supply/mouse/capacity", "99\n");
    covey_conditions_read(root, 0, &now);
    cr_assert(!now.mains && now.battery_percent == 41, "%d", now.battery_percent);
    put("sys/class/power_supply/BAT0/status", "Charging\n");
    covey_conditions_read(root, 0, &now);
    cr_assert(now.mains, "charging, and no supply that would know better");
    put("sys/class/power_supply/AC/type", "Mains\n");
    put("sys/class/power_supply/AC/online", "0\n");
    covey_conditions_read(root, 0, &now);
    cr_assert(!now.mains);
    put("sys/class/power_supply/AC/online", "1\n");
    put("sys/class/thermal/thermal_zone0/temp", "45000\n");
    put("sys/class/thermal/thermal_zone1/temp", "61500\n");
    put("sys/class/thermal/cooling_device0/temp", "99000\n");
    put("proc/loadavg", "3.00 2.00 1.00 1/100 12345\n");
    covey_conditions_read(root, 0, &now);
    cr_assert(now.mains && now.temperature_celsius == 61.5 && now.load > 0 && now.load <= 3);
    put("proc/loadavg", "nonsense\n");
    put("sys/class/thermal/thermal_zone1/temp", "\n");
    covey_conditions_read(root, 0, &now);
    cr_assert(isnan(now.load) && now.temperature_celsius == 45);
}

Test(policy, decisions)
{
    static const struct {
        struct covey_client_policy policy;
        struct covey_conditions now;
        bool allowed;
    } cases[] = {
        {{.mains = false}, {.mains = false, .battery_percent = 3}, true},
        {{.mains = true}, {.mains = true, .battery_percent = 3}, true},
        {{.mains = true}, {.mains = false, .battery_percent = 99}, false},
        {{.battery_percent = 50}, {.mains = false, .battery_percent = 50}, true},
        {{.battery_percent = 50}, {.mains = false, .battery_percent = 49}, false},
        {{.battery_percent = 50}, {.mains = true, .battery_percent = 3}, true},
        {{.mains = true, .battery_percent = 50}, {.mains = false, .battery_percent = 60}, true},
        {{.temperature_celsius = 60}, {.mains = true, .temperature_celsius = 59}, true},
        {{.temperature_celsius = 60}, {.mains = true, .temperature_celsius = 60}, false},
        {{.temperature_celsius = 60}, {.mains = true, .temperature_celsius = NAN}, true},
        {{.load = .5}, {.mains = true, .load = .4}, true},
        {{.load = .5}, {.mains = true, .load = .6}, false},
        {{.load = .5}, {.mains = true, .load = NAN}, true},
        {{.hours = (char *)"22-6"}, {.mains = true, .minute_of_day = 0}, true},
        {{.hours = (char *)"22-6"}, {.mains = true, .minute_of_day = 720}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char why[120] = "";
        cr_assert(covey_policy_allows(&cases[i].policy, &cases[i].now, why, sizeof why) == cases[i].allowed,
                  "case %zu", i);
        cr_assert(cases[i].allowed == (why[0] == 0), "case %zu: '%s'", i, why);
    }
}
