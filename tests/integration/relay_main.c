/* covey-relay TARGET [--delay-ms N] [--loss SHARE] [--repeat SHARE] [--reorder SHARE] [--late-ms N]
 * [--rate-kbit N]
 *   [--queue-ms N] [--change-port N] [--seed N] [--seconds N]
 * Prints "listening 127.0.0.1:PORT", relays until a signal or the end of its time, then prints one JSON line.
 * For scripts. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "relay.h"

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
    (void)signal_number;
    stopped = 1;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"delay-ms", required_argument, NULL, 'd'},
                                            {"loss", required_argument, NULL, 'l'},
                                            {"repeat", required_argument, NULL, 'r'},
                                            {"reorder", required_argument, NULL, 'o'},
                                            {"late-ms", required_argument, NULL, 'a'},
                                            {"rate-kbit", required_argument, NULL, 'b'},
                                            {"queue-ms", required_argument, NULL, 'q'},
                                            {"change-port", required_argument, NULL, 'p'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"seconds", required_argument, NULL, 't'},
                                            {NULL, 0, NULL, 0}};
    struct relay_network network = {0};
    uint64_t seed = 1;
    long seconds = 86400;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        double value = optarg != NULL ? strtod(optarg, NULL) : 0;
        switch (option) {
        case 'd':
            network.delay_us = (uint32_t)(value * 1000);
            break;
        case 'l':
            network.loss = value;
            break;
        case 'r':
            network.repeat = value;
            break;
        case 'o':
            network.reorder = value;
            break;
        case 'a':
            network.late_us = (uint32_t)(value * 1000);
            break;
        case 'b':
            network.bits_per_s = (uint64_t)(value * 1000);
            break;
        case 'q':
            network.queue_us = (uint32_t)(value * 1000);
            break;
        case 'p':
            network.change_port = (uint32_t)value;
            break;
        case 's':
            seed = (uint64_t)value;
            break;
        case 't':
            seconds = (long)value;
            break;
        default:
            return 2;
        }
    }
    if (optind + 1 != argc) {
        fprintf(stderr, "usage: covey-relay HOST:PORT [--delay-ms N] [--loss SHARE] ... (one way each)\n");
        return 2;
    }
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    struct relay *relay = relay_start(argv[optind], &network, seed);
    if (relay == NULL) {
        fprintf(stderr, "covey-relay: cannot relay to %s\n", argv[optind]);
        return 1;
    }
    printf("listening %s\n", relay_address(relay));
    fflush(stdout);
    struct timespec nap = {.tv_nsec = 100000000};
    for (long i = 0; i < seconds * 10 && !stopped; i++)
        nanosleep(&nap, NULL);
    struct relay_counters up, down;
    relay_count(relay, &up, &down);
    printf("{\"datagrams_up\":%llu,\"bytes_up\":%llu,\"lost_up\":%llu,\"datagrams_down\":%llu,\"bytes_down\":"
           "%llu,"
           "\"lost_down\":%llu,\"strangers\":%zu}\n",
           (unsigned long long)up.datagrams, (unsigned long long)up.bytes, (unsigned long long)up.lost,
           (unsigned long long)down.datagrams, (unsigned long long)down.bytes, (unsigned long long)down.lost,
           relay_strangers(relay));
    relay_stop(relay);
    return 0;
}
