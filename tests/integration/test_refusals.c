/* Who is not let in, over real DTLS on loopback: each refusal has its own clear text on both sides, costs
 * nobody else anything, and leaves nothing behind. A good device is served the whole time, and a relay sees
 * every datagram: all of it is DTLS records. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "coap_rig.h"
#include "covey/authority.h"
#include "covey/credential_store.h"
#include "relay.h"

#define DAY 86400ll
#define SERVED_A_CASE 3 /* requests of the good device that must come through during each case */
#define PATIENCE_S (RIG_PATIENCE_MS / 1000.0)

/* ---- two federations on disk ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void make_federation(const char *name, int64_t server_from_s, int64_t server_validity_s)
{
    static const char *const names[] = {"fl.example.org", "localhost"};
    const struct covey_authority_options options = {.server_names = names,
                                                    .server_name_count = 2,
                                                    .now_s = server_from_s,
                                                    .ca_validity_s = 1000 * DAY,
                                                    .server_validity_s = server_validity_s};
    struct covey_error err = {0};
    cr_assert_eq(covey_authority_create(in_folder(name), &options, &err), COVEY_OK, "%s", err.text);
}

static void make_device(const char *federation, const char *name, enum covey_device_mode mode, int64_t from_s,
                        int64_t validity_s)
{
    const struct covey_device_order order = {
        .name = name, .out_dir = in_folder(name), .mode = mode, .now_s = from_s, .validity_s = validity_s};
    struct covey_error err = {0};
    cr_assert_eq(covey_authority_add_device(in_folder(federation), &order, &err), COVEY_OK, "%s", err.text);
}

static struct covey_credential_store *load_server(const char *federation)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_server(in_folder(federation), NULL, &store, &err), COVEY_OK, "%s",
                 err.text);
    return store;
}

static struct covey_credential_store *load_device(const char *name, const char *server_name)
{
    struct covey_credential_store *store = NULL;
    struct covey_error err = {0};
    cr_assert_eq(covey_credentials_load_device(in_folder(name), server_name, NULL, &store, &err), COVEY_OK,
                 "%s", err.text);
    return store;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info, (void)type, (void)walk;
    return remove(path);
}

/* ---- the good device, in a thread of its own ---- */

struct good_device {
    struct covey_credential_store *store;
    struct device *device;
    pthread_t thread;
    char address[64];
    atomic_bool stop;
    atomic_int served, failed;
};

static void *go_on_asking(void *user)
{
    struct good_device *good = user;
    while (!atomic_load(&good->stop)) {
        struct answer answer;
        const struct covey_request request = {.method = COVEY_GET, .path = "small"};
        if (device_ask(good->device, &request, &answer, RIG_PATIENCE_MS) && answer.status == COVEY_OK &&
            answer.code == COVEY_CODE_CONTENT)
            atomic_fetch_add(&good->served, 1);
        else
            atomic_fetch_add(&good->failed, 1);
        (void)usleep(2000);
    }
    return NULL;
}

/* ---- the stage: a good server behind a relay, and the good device ---- */

struct stage {
    struct covey_credential_store *server_store;
    struct rig *rig;
    struct relay *relay;
    struct good_device good;
};

static struct stage stage;

static struct relay *relay_to(const struct rig *rig)
{
    static const struct relay_network network = {.delay_us = 200};
    char target[64];
    (void)snprintf(target, sizeof target, "127.0.0.1:%u", rig->port);
    struct relay *relay = relay_start(target, &network, 1);
    cr_assert_not_null(relay);
    return relay;
}

static void set_stage(void)
{
    const int64_t now_s = (int64_t)time(NULL);
    struct covey_error err = {0};
    cr_assert_eq(covey_crypto_start(&err), COVEY_OK, "%s", err.text);
    (void)snprintf(folder, sizeof folder, "/tmp/covey-refusals-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    make_federation("fed", now_s, 0);
    make_federation("other", now_s, 0);
    make_device("fed", "good", COVEY_DEVICE_CERTIFICATE, now_s, 0);
    stage.server_store = load_server("fed");
    stage.rig = rig_start(covey_credential_store_view(stage.server_store), 1000, 1);
    stage.relay = relay_to(stage.rig);
    stage.good.store = load_device("good", "fl.example.org");
    stage.good.device = device_start(covey_credential_store_view(stage.good.store));
    (void)snprintf(stage.good.address, sizeof stage.good.address, "%s", relay_address(stage.relay));
    cr_assert(device_connect(stage.good.device, stage.good.address), "%s", stage.good.device->reason.text);
    /* the server counts it a moment after the device knows that it is in; the cases count from here */
    cr_assert(rig_await(stage.rig, 1));
    cr_assert_eq(pthread_create(&stage.good.thread, NULL, go_on_asking, &stage.good), 0);
}

static void strike_stage(void)
{
    struct relay_counters up, down;
    atomic_store(&stage.good.stop, true);
    cr_assert_eq(pthread_join(stage.good.thread, NULL), 0);
    cr_expect_eq(atomic_load(&stage.good.failed), 0, "the good device was not served %d times",
                 atomic_load(&stage.good.failed));
    cr_expect(stage.good.device->ups == 1 && stage.good.device->downs == 0, "its session was disturbed");
    device_stop(stage.good.device);
    relay_count(stage.relay, &up, &down);
    cr_expect_gt(up.datagrams, 5);
    cr_expect_gt(down.datagrams, 5);
    cr_expect_eq(relay_strangers(stage.relay), 0, "something crossed that is no DTLS record");
    relay_stop(stage.relay);
    rig_stop(stage.rig);
    covey_credential_store_destroy(stage.good.store);
    covey_credential_store_destroy(stage.server_store);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(refusals, .init = set_stage, .fini = strike_stage, .timeout = 900);

/* ---- a case ---- */

static void clear_log(struct rig *rig)
{
    (void)pthread_mutex_lock(&rig->lock);
    rig->log_used = 0;
    rig->log_text[0] = '\0';
    (void)pthread_mutex_unlock(&rig->lock);
}

static void wait_for_log(struct rig *rig, const char *text)
{
    cr_expect(rig_await_log(rig, text), "the server does not say '%s' but:\n%s", text, rig->log_text);
}

static void wait_for_service(int before)
{
    const double end = clock_s() + PATIENCE_S;
    while (atomic_load(&stage.good.served) < before + SERVED_A_CASE && clock_s() < end)
        (void)usleep(2000);
    cr_expect_geq(atomic_load(&stage.good.served), before + SERVED_A_CASE, "the good device waits");
}

/* A device with these credentials at that server: refused, each side saying why; nothing of it was served or
 * stays. */
static void expect_refused_by(struct rig *rig, const char *address,
                              const struct covey_credentials *credentials, const char *device_text,
                              const char *server_text)
{
    const int before = atomic_load(&stage.good.served), present = atomic_load(&rig->present);
    clear_log(rig);
    struct device *device = device_start(credentials);
    cr_assert_not(device_connect(device, address), "it was let in");
    cr_expect_eq(device->reason.status, COVEY_DENIED, "it should be told, not give up by itself: %s",
                 device->reason.text);
    cr_expect(strstr(device->reason.text, device_text) != NULL, "the device does not say '%s' but '%s'",
              device_text, device->reason.text);
    cr_expect_eq(device->ups, 0);
    wait_for_log(rig, server_text);
    cr_expect_eq(atomic_load(&rig->present), present);
    device_stop(device);
    wait_for_service(before);
}

static void expect_refused(const struct covey_credentials *credentials, const char *device_text,
                           const char *server_text)
{
    expect_refused_by(stage.rig, relay_address(stage.relay), credentials, device_text, server_text);
}

/* A server with these credentials, at which a good device knocks: it is the device that refuses. */
static void expect_server_refused(const struct covey_credentials *server,
                                  const struct covey_credentials *device, const char *device_text,
                                  const char *server_text)
{
    struct rig *rig = rig_start(server, 100, 1);
    struct relay *relay = relay_to(rig);
    expect_refused_by(rig, relay_address(relay), device, device_text, server_text);
    cr_expect_eq(atomic_load(&rig->served), 0);
    cr_expect_eq(relay_strangers(relay), 0);
    relay_stop(relay);
    rig_stop(rig);
}

/* ---- the cases ---- */

Test(refusals, a_device_without_a_certificate)
{
    struct covey_credentials bare = *covey_credential_store_view(stage.good.store);
    bare.chain_pem = bare.key_pem = (struct covey_bytes){0};
    expect_refused(&bare, "no certificate", "no certificate");
}

Test(refusals, a_device_of_another_authority)
{
    make_device("other", "stranger", COVEY_DEVICE_CERTIFICATE, (int64_t)time(NULL), 0);
    struct covey_credential_store *stranger = load_device("stranger", "fl.example.org");
    struct covey_credentials credentials = *covey_credential_store_view(stranger);
    credentials.peer_ca_pem =
        covey_credential_store_view(stage.good.store)->peer_ca_pem; /* it trusts the right server */
    credentials.check_peer = covey_credential_store_view(stage.good.store)->check_peer;
    credentials.check_user = covey_credential_store_view(stage.good.store)->check_user;
    expect_refused(&credentials, "the server refused",
                   "('stranger') comes from another authority ('Covey device CA");
    covey_credential_store_destroy(stranger);
}

Test(refusals, a_server_of_another_authority)
{
    struct covey_credential_store *other = load_server("other");
    expect_server_refused(
        covey_credential_store_view(other), covey_credential_store_view(stage.good.store),
        "the server's certificate ('fl.example.org') comes from another authority ('Covey server CA",
        "the device refused our certificate");
    covey_credential_store_destroy(other);
}

Test(refusals, a_server_s_certificate_used_by_a_device)
{
    const struct covey_credentials *server = covey_credential_store_view(stage.server_store);
    struct covey_credentials credentials = *covey_credential_store_view(stage.good.store);
    credentials.chain_pem = server->chain_pem;
    credentials.key_pem = server->key_pem;
    expect_refused(
        &credentials, "the server refused",
        "the device shows a server's certificate ('fl.example.org'): it needs one made for a device");
}

/* Our own server notices by itself that it has nothing to show. */
Test(refusals, a_device_s_certificate_used_by_our_server)
{
    struct covey_credentials server = *covey_credential_store_view(stage.server_store);
    server.chain_pem = covey_credential_store_view(stage.good.store)->chain_pem;
    server.key_pem = covey_credential_store_view(stage.good.store)->key_pem;
    expect_server_refused(&server, covey_credential_store_view(stage.good.store),
                          "has no certificate that is made for a server",
                          "our own certificate is not made for us");
}

/* A server of other make that shows what it has: here OpenSSL's (Debian's ca-certificates brings the
 * program). */
struct foreign_server {
    pid_t pid;
    int input; /* held open: it leaves when its input ends */
    char log[256];
    uint16_t port;
};

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    const int fd = socket(AF_INET, SOCK_DGRAM, 0);
    cr_assert(fd >= 0 && bind(fd, (struct sockaddr *)&address, size) == 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static struct foreign_server start_openssl(const char *certificate, const char *key, const char *ca)
{
    struct foreign_server server = {.port = free_port()};
    char port[8];
    int ends[2];
    (void)snprintf(port, sizeof port, "%u", server.port);
    (void)snprintf(server.log, sizeof server.log, "%s", in_folder("openssl.log"));
    cr_assert_eq(pipe(ends), 0);
    server.input = ends[1];
    server.pid = fork();
    cr_assert_geq(server.pid, 0);
    if (server.pid == 0) {
        const int log = open(server.log, O_CREAT | O_WRONLY | O_TRUNC, 0600);
        (void)dup2(ends[0], 0);
        (void)dup2(log, 1);
        (void)dup2(log, 2);
        (void)close(ends[1]);
        (void)execlp("openssl", "openssl", "s_server", "-dtls1_2", "-port", port, "-cert", certificate,
                     "-key", key, "-CAfile", ca, "-Verify", "1", "-verify_return_error", "-4", (char *)NULL);
        _exit(127);
    }
    (void)close(ends[0]);
    return server;
}

static bool said_by(const struct foreign_server *server, const char *text)
{
    char log[16384] = "";
    FILE *file = fopen(server->log, "r");
    if (file == NULL)
        return false;
    log[fread(log, 1, sizeof log - 1, file)] = '\0';
    (void)fclose(file);
    return strstr(log, text) != NULL;
}

static bool wait_until_said(const struct foreign_server *server, const char *text)
{
    const double end = clock_s() + PATIENCE_S;
    while (!said_by(server, text) && clock_s() < end)
        (void)usleep(10000);
    return said_by(server, text);
}

static void stop_openssl(struct foreign_server *server)
{
    (void)close(server->input);
    (void)kill(server->pid, SIGTERM);
    (void)waitpid(server->pid, NULL, 0);
}

Test(refusals, a_device_s_certificate_used_by_a_server)
{
    const int before = atomic_load(&stage.good.served);
    char address[64];
    struct foreign_server server = start_openssl(in_folder("good/device.crt"), in_folder("good/device.key"),
                                                 in_folder("fed/pki/device-ca.crt"));
    cr_assert(wait_until_said(&server, "ACCEPT"), "openssl s_server did not start");
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
    struct device *device = device_start(covey_credential_store_view(stage.good.store));
    cr_assert_not(device_connect(device, address), "it was taken for a server");
    cr_expect_eq(device->reason.status, COVEY_DENIED);
    cr_expect(strstr(device->reason.text,
                     "the server shows a device's certificate ('good'): it needs one made for a "
                     "server") != NULL,
              "%s", device->reason.text);
    cr_expect(wait_until_said(&server, "alert"), "it was not told");
    device_stop(device);
    stop_openssl(&server);
    wait_for_service(before);
}

/* The same server with a right certificate is spoken to: what was refused above was the certificate. */
Test(refusals, a_right_server_of_other_make)
{
    char address[64];
    struct foreign_server server = start_openssl(
        in_folder("fed/pki/server.crt"), in_folder("fed/pki/server.key"), in_folder("fed/pki/device-ca.crt"));
    cr_assert(wait_until_said(&server, "ACCEPT"), "openssl s_server did not start");
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", server.port);
    struct device *device = device_start(covey_credential_store_view(stage.good.store));
    cr_expect(device_connect(device, address), "%s", device->reason.text);
    device_stop(device);
    stop_openssl(&server);
}

Test(refusals, a_device_whose_certificate_has_expired)
{
    make_device("fed", "late", COVEY_DEVICE_CERTIFICATE, (int64_t)time(NULL) - 10 * DAY, 9 * DAY);
    struct covey_credential_store *late = load_device("late", "fl.example.org");
    expect_refused(covey_credential_store_view(late), "expired",
                   "the device's certificate ('late') expired on 20");
    covey_credential_store_destroy(late);
}

Test(refusals, a_device_whose_certificate_is_not_valid_yet)
{
    make_device("fed", "early", COVEY_DEVICE_CERTIFICATE, (int64_t)time(NULL) + 10 * DAY, 9 * DAY);
    struct covey_credential_store *early = load_device("early", "fl.example.org");
    expect_refused(covey_credential_store_view(early), "the server refused our certificate",
                   "the device's certificate ('early') is not valid before 20");
    covey_credential_store_destroy(early);
}

Test(refusals, a_server_whose_certificate_has_expired)
{
    const int64_t now_s = (int64_t)time(NULL);
    make_federation("old", now_s - 10 * DAY, 9 * DAY);
    make_device("old", "faithful", COVEY_DEVICE_CERTIFICATE, now_s, 0);
    struct covey_credential_store *server = load_server("old"),
                                  *device = load_device("faithful", "fl.example.org");
    expect_server_refused(covey_credential_store_view(server), covey_credential_store_view(device),
                          "the server's certificate ('fl.example.org') expired on 20",
                          "the device refused our certificate: it has expired");
    covey_credential_store_destroy(server);
    covey_credential_store_destroy(device);
}

Test(refusals, a_server_of_another_name)
{
    struct covey_credential_store *device = load_device("good", "elsewhere.example.org");
    expect_refused(
        covey_credential_store_view(device),
        "the server's certificate is not for 'elsewhere.example.org' but for 'fl.example.org' and others",
        "the device refused our certificate");
    covey_credential_store_destroy(device);
}

Test(refusals, a_wrong_pre_shared_key)
{
    make_device("fed", "field-7", COVEY_DEVICE_PSK, (int64_t)time(NULL), 0);
    struct covey_credential_store *store = load_device("field-7", NULL);
    struct covey_credentials credentials = *covey_credential_store_view(store);
    credentials.psk[0] ^= 1;
    expect_refused(&credentials, "pre-shared key differs", "what the device sent cannot be read: its");
    credentials = *covey_credential_store_view(store);
    (void)snprintf(credentials.psk_identity, sizeof credentials.psk_identity, "field-8");
    expect_refused(&credentials, "identity", "no pre-shared key is known for the device's identity");
    /* and the right one is let in beside certificates */
    struct device *device = device_start(covey_credential_store_view(store));
    cr_expect(device_connect(device, relay_address(stage.relay)), "%s", device->reason.text);
    device_stop(device);
    covey_credential_store_destroy(store);
}

Test(refusals, a_withdrawn_device)
{
    struct covey_error err = {0};
    make_device("fed", "lost", COVEY_DEVICE_CERTIFICATE, (int64_t)time(NULL), 0);
    struct covey_credential_store *store = load_device("lost", "fl.example.org");
    struct device *device = device_start(covey_credential_store_view(store));
    cr_assert(device_connect(device, relay_address(stage.relay)), "%s", device->reason.text);
    /* The server hears of its coming and going a moment later; counted from is the good device alone. */
    cr_assert(rig_await(stage.rig, 2));
    device_stop(device);
    cr_assert(rig_await(stage.rig, 1));
    cr_assert_eq(covey_authority_revoke(in_folder("fed"), "lost", &err), COVEY_OK, "%s", err.text);
    cr_assert_eq(covey_credentials_reload(stage.server_store, NULL, NULL, &err), COVEY_OK, "%s", err.text);
    expect_refused(covey_credential_store_view(store), "the server refused", "('lost', serial ");
    covey_credential_store_destroy(store);
}
