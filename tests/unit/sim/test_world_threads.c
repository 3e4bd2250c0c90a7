/* The world answers several threads at once, and each the same. */
#include <criterion/criterion.h>

#include <pthread.h>
#include <stdint.h>

#include "world_rig.h"

struct asking {
    const struct covey_world *world;
    uint64_t sum;
};

static void *ask(void *user)
{
    struct asking *asking = user;
    for (uint32_t device = 0; device < 2000; device++) {
        struct covey_transfer transfer;
        uint64_t until;
        covey_world_transfer(asking->world, device, 1, 3, true, 3000 + device * 10, &transfer);
        asking->sum += transfer.ms + transfer.bytes_up * 3 + transfer.bytes_down * 7;
        asking->sum += covey_world_available(asking->world, device, device * HOUR_MS, &until);
        asking->sum += covey_world_training_ms(asking->world, device, 1, 100);
    }
    return NULL;
}

Test(world, threads_may_ask_at_once)
{
    struct covey_scenario scenario = plain_scenario();
    struct covey_link_class_config links[] = {{.class_name = WORD("wifi")}, {.class_name = WORD("lte-m")}};
    struct asking askings[4];
    pthread_t threads[4];
    scenario.links = links;
    scenario.link_class_count = 2;
    struct covey_world *world = make(&scenario, 1e6);
    for (int i = 0; i < 4; i++) {
        askings[i] = (struct asking){.world = world};
        cr_assert(pthread_create(&threads[i], NULL, ask, &askings[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
    for (int i = 1; i < 4; i++)
        cr_assert(askings[i].sum == askings[0].sum);
    covey_world_destroy(world);
}
