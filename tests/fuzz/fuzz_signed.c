/* Signed messages as a device gets them. The key is one that nobody holds: nothing may ever be found good. */
#include <stdint.h>
#include <stdlib.h>

#include "covey/hash.h"
#include "covey/messages.h"
#include "covey/sign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The generator of P-256 itself (FIPS 186-5): its private key is 1, and no seed is signed by it. */
static const char generator[] = "046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
                                "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct covey_trust trust;
    struct covey_error err = {0};
    struct covey_bytes payload;
    struct covey_cose_sign1 sign1;
    if (trust.count == 0) {
        struct covey_public_key key;
        if (covey_crypto_start(&err) != COVEY_OK ||
            covey_hex_read(generator, key.point, sizeof key.point) != 0 ||
            covey_trust_add(&trust, &key, &err) != COVEY_OK)
            abort();
    }
    /* As if every message were by the trusted key, so that the signature is really looked at. */
    if (covey_cose_decode((struct covey_bytes){data, size}, &sign1, NULL) == COVEY_OK) {
        static uint8_t message[COVEY_MANIFEST_BYTES];
        size_t message_bytes = 0;
        for (size_t i = 0; i < COVEY_KEY_ID_BYTES; i++)
            sign1.key_id[i] = trust.ids[0][i];
        if (covey_cose_encode(&sign1, message, sizeof message, &message_bytes) == COVEY_OK &&
            covey_verify_message(&trust, (struct covey_bytes){message, message_bytes}, &payload, &err) ==
                COVEY_OK)
            abort();
    }
    if (covey_verify_message(&trust, (struct covey_bytes){data, size}, &payload, &err) == COVEY_OK)
        abort();
    return 0;
}
