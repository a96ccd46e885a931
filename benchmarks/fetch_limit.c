/* What two cores can do: the bytes of one HTTP answer received and written by one thread, hashed
 * (SHA-256 of libcrypto) by another, from a ring of 16 MiB; no interpreter, no checks, no fsync.
 *
 *     cc -O2 -o fetch_limit fetch_limit.c -lcrypto -lpthread && ./fetch_limit PORT OUT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 20, RING = 16 * CHUNK, TURN = 4 * CHUNK };

static unsigned char *ring;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static size_t came, hashed;
static int over;

static void must(int met, const char *what) {
    if (!met) {
        perror(what);
        exit(1);
    }
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static void *hash(void *context) {
    pthread_mutex_lock(&lock);
    for (;;) {
        while (came == hashed && !over)
            pthread_cond_wait(&changed, &lock);
        if (came == hashed)
            break;
        size_t start = hashed % RING;
        size_t count = least(least(came - hashed, RING - start), TURN);
        pthread_mutex_unlock(&lock);
        EVP_DigestUpdate(context, ring + start, count);
        pthread_mutex_lock(&lock);
        hashed += count;
        pthread_cond_signal(&changed);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

int main(int argc, char **argv) {
    static const char request[] = "GET /big.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char head[4096];
    size_t length = 0;
    must(argc == 3, "usage: fetch_limit PORT OUT");
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int from = socket(AF_INET, SOCK_STREAM, 0), file = open(argv[2], O_WRONLY | O_CREAT, 0644);
    must(file >= 0, argv[2]);
    must(!connect(from, (struct sockaddr *)&to, sizeof to), "connect");
    must(send(from, request, sizeof request - 1, 0) > 0, "send");
    while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4))
        must(length < sizeof head && recv(from, head + length++, 1, 0) == 1, "head");

    must((ring = malloc(RING)) != NULL, "malloc");
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    must(context && EVP_DigestInit(context, EVP_sha256()), "sha256");
    pthread_t hasher;
    must(!pthread_create(&hasher, NULL, hash, context), "thread");
    for (;;) {
        size_t start = came % RING, room = least(CHUNK, RING - start);
        pthread_mutex_lock(&lock);
        while (RING - (came - hashed) < room)
            pthread_cond_wait(&changed, &lock);
        pthread_mutex_unlock(&lock);
        ssize_t count = recv(from, ring + start, room, 0);
        must(count >= 0, "recv");
        must(write(file, ring + start, (size_t)count) == count, "write");
        pthread_mutex_lock(&lock);
        came += (size_t)count;
        over = !count;
        pthread_cond_signal(&changed);
        pthread_mutex_unlock(&lock);
        if (!count)
            break;
    }
    pthread_join(hasher, NULL);
    unsigned char digest[32];
    must(EVP_DigestFinal(context, digest, NULL), "sha256");
    for (size_t i = 0; i < sizeof digest; i++)
        printf("%02x", digest[i]);
    puts("");
    return 0;
}
