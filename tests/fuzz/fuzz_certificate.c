/* Whatever a peer shows as its certificate, judged as either side would: the first byte says by whom and with
 * which flags of the chain. Who is let in has a name that may stand in a path. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "covey/certificates.h"
#include "covey/hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t fixed_time(void *user)
{
    (void)user;
    return 1782000000; /* in the validity of the seeds */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int started;
    struct covey_error err = {0};
    char name[COVEY_NAME_BYTES] = "";
    if (!started && covey_crypto_start(&err) != COVEY_OK)
        abort();
    started = 1;
    if (size == 0)
        return 0;
    struct covey_peer_policy policy = {.peer = (data[0] & 1) != 0 ? COVEY_SIDE_SERVER : COVEY_SIDE_DEVICE,
                                       .server_name = (data[0] & 2) != 0 ? "fl.example.org" : "192.0.2.1",
                                       .wall_s = fixed_time};
    const uint32_t flags = (data[0] & 4) != 0 ? COVEY_VERIFY_WRONG_NAME : 0;
    const struct covey_bytes leaf = {data + 1, size - 1};
    struct covey_public_key key;
    (void)!covey_certificate_public_key(leaf, &key, NULL);
    char requester[COVEY_NAME_BYTES];
    (void)!covey_certificate_request_read(leaf, requester, &key, NULL);
    if (covey_certificate_policy(&policy, leaf, flags, name, &err) == COVEY_OK) {
        if (policy.peer == COVEY_SIDE_DEVICE ? !covey_device_name_is_valid(name)
                                             : strcmp(name, policy.server_name) != 0)
            abort();
    } else if (err.text[0] == '\0' || name[0] != '\0') {
        abort();
    }
    return 0;
}
