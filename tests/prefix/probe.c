/* Does the library that was just built do what the rest counts on?  Run by scripts/recipe/build; silent when
 * it does. */
#include <coap3/coap.h>
#include <mbedtls/ssl.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>

static int failures;

static void expect(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "probe: %s: no\n", what);
        failures++;
    }
}

static int count_suites(void)
{
    const int *suite = mbedtls_ssl_list_ciphersuites();
    int count = 0;
    while (suite[count])
        count++;
    return count;
}

int main(void)
{
    coap_startup();
    const coap_tls_version_t *tls = coap_get_tls_library_version();
    coap_context_t *context = coap_new_context(NULL);

    expect(tls->type == COAP_TLS_LIBRARY_MBEDTLS && tls->version == tls->built_version,
           "libcoap uses our Mbed TLS");
    expect(coap_dtls_is_supported() && coap_dtls_psk_is_supported() && coap_dtls_pki_is_supported(),
           "DTLS, PSK and PKI");
    expect(coap_client_is_supported() && coap_server_is_supported(), "client and server");
    expect(coap_epoll_is_supported(), "epoll");
    expect(coap_ipv4_is_supported() && coap_ipv6_is_supported(), "IPv4 and IPv6");
    expect(!coap_tcp_is_supported() && !coap_tls_is_supported() && !coap_ws_is_supported(),
           "no TCP, TLS, WebSockets");
    expect(!coap_oscore_is_supported() && !coap_proxy_is_supported() && !coap_q_block_is_supported(),
           "no OSCORE, proxy, Q-Block");
    expect(!coap_async_is_supported() && !coap_dtls_cid_is_supported() && !coap_threadsafe_is_supported(),
           "no deferred requests, connection IDs, global lock");
    expect(count_suites() == 8, "eight cipher suites");
    expect(strcmp(mbedtls_ssl_get_ciphersuite_name(mbedtls_ssl_list_ciphersuites()[0]),
                  "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256") == 0,
           "ChaCha20-Poly1305 comes first");
    expect(psa_crypto_init() == PSA_SUCCESS, "PSA starts");
    expect(context != NULL, "a context");
    coap_free_context(context);
    coap_cleanup();
    return failures != 0;
}
