#include "fcgi/answer.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "common/log.h"

enum {
    STALL_S = 30,                 /* a client that takes a stream may pause, but in */
    STALL_BYTES = STALL_S * 4096, /* so long a time takes so much, or is given up */
    WRITE_MAX_BYTES = 1 << 16,
    HEADERS_MAX_BYTES =
        12 * 1024, /* a client may not take more than 16 KB, nginx no more than 32 */
};

void answer_begin(struct answer *w, struct arena *a, const char *request_id, int fd, int id,
                  bool head)
{
    *w = (struct answer){.arena = a, .request_id = request_id, .fd = fd, .id = id, .head = head};
    w->headers = buf_create(a, HEADERS_MAX_BYTES);
}

/* ---- what is said ---- */

void answer_header(struct answer *w, const char *fmt, va_list ap)
{
    char line[HEADERS_MAX_BYTES];
    int len = vsnprintf(line, sizeof line, fmt, ap);

    if (len >= 0 && (size_t)len < sizeof line && strpbrk(line, "\r\n") == NULL &&
        buf_printf(w->headers, "%s\r\n", line))
        return;
    line[strcspn(line, ":")] = '\0'; /* a value may be what a user wrote */
    log_error(w->request_id, "header dropped", LOG_TEXT("header", line));
}

__attribute__((format(printf, 2, 3))) static void header(struct answer *w, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer_header(w, fmt, ap);
    va_end(ap);
}

void answer_add(struct answer *w, const char *data, size_t len)
{
    struct record_part *p = arena_alloc(w->arena, sizeof *p);

    *p = (struct record_part){data, len, NULL};
    if (w->last != NULL)
        w->last->next = p;
    else
        w->first = p;
    w->last = p;
}

void answer_clear(struct answer *w)
{
    w->first = w->last = NULL;
}

static uint64_t mix(uint64_t h, const char *data, size_t len)
{
    uint64_t word = len;

    memcpy(&word, data, len);
    h = (h ^ word) * 0x9E3779B97F4A7C15ULL;
    return h ^ h >> 29;
}

/* 64 bits that change when a byte does: multiply and fold, eight bytes at a time; four of these go
 * on at once, since each waits for its multiplication. */
static uint64_t digest_add(uint64_t h, const char *data, size_t len)
{
    uint64_t lanes[4] = {h, ~h, h << 1, h >> 1};

    for (; len >= sizeof lanes; data += sizeof lanes, len -= sizeof lanes)
        for (size_t i = 0; i < 4; i++)
            lanes[i] = mix(lanes[i], data + 8 * i, 8);
    for (size_t i = 1; i < 4; i++)
        lanes[0] = mix(lanes[0], (const char *)&lanes[i], 8);
    for (; len > 0; data += len < 8 ? len : 8, len -= len < 8 ? len : 8)
        lanes[0] = mix(lanes[0], data, len < 8 ? len : 8);
    return lanes[0];
}

/* Weak, since nginx may compress it. */
bool answer_tag(struct answer *w, const char *if_none_match)
{
    uint64_t h = 0xCBF29CE484222325ULL;
    char tag[24];

    for (const struct record_part *p = w->first; p != NULL; p = p->next)
        h = digest_add(h, p->data, p->len);
    snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)h);
    header(w, "ETag: W/%s", tag);
    return if_none_match != NULL &&
           (strstr(if_none_match, tag) != NULL || strcmp(if_none_match, "*") == 0);
}

/* ---- all of it ---- */

static void put(struct answer *w, const struct record_part *first, bool last)
{
    if (w->broken || record_write(w->fd, w->id, first, last))
        return;
    w->broken = true;
    log_info(w->request_id, "answer not taken", LOG_TEXT("error", strerror(errno)));
}

static struct record_part text_part(const char *text, struct record_part *next)
{
    return (struct record_part){text, strlen(text), next};
}

void answer_send(struct answer *w, int status, const char *type, size_t missing)
{
    struct record_part headers = {buf_text(w->headers), w->headers->len, NULL};
    struct record_part begin =
        text_part(arena_printf(w->arena, "Status: %d\r\n", status), &headers);
    struct record_part content = text_part("\r\n", w->head ? NULL : w->first);
    size_t len = missing;

    for (const struct record_part *p = w->first; p != NULL; p = p->next)
        len += p->len;
    if (status != 304 && status != 204)
        content = text_part(
            arena_printf(w->arena, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, len),
            content.next);
    headers.next = &content;
    put(w, &begin, true);
}

void answer_end(struct answer *w)
{
    put(w, NULL, true);
}

/* ---- a stream ---- */

static long now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Only time in which the client was waited for counts. */
static bool stalls(struct answer *w, size_t bytes, long us)
{
    w->pace.waited_us += us;
    w->pace.bytes += bytes;
    if (w->pace.waited_us < STALL_S * 1000000L)
        return false;
    if (w->pace.bytes < STALL_BYTES) {
        log_warn(w->request_id, "client too slow: given up");
        return true;
    }
    w->pace.waited_us = 0;
    w->pace.bytes = 0;
    return false;
}

/* False if that takes the client too long. */
static bool flush(struct answer *w)
{
    struct record_part part = {w->stream, w->streamed, NULL};
    long begin = now_us();

    put(w, &part, false);
    w->streamed = 0;
    return !stalls(w, part.len, now_us() - begin);
}

static bool add_to_stream(struct answer *w, const char *data, size_t len)
{
    while (len > 0 && !w->broken) {
        size_t n = len < WRITE_MAX_BYTES - w->streamed ? len : WRITE_MAX_BYTES - w->streamed;

        memcpy(w->stream + w->streamed, data, n);
        w->streamed += n;
        data += n;
        len -= n;
        if (w->streamed == WRITE_MAX_BYTES && !flush(w))
            return false;
    }
    return !w->broken;
}

/* nginx passes it on as it comes: nothing piles up there either. */
void answer_stream(struct answer *w, const char *type)
{
    const struct timeval limit = {.tv_sec = STALL_S};
    const char *content =
        arena_printf(w->arena, "Content-Type: %s\r\nX-Accel-Buffering: no\r\n\r\n", type);

    setsockopt(w->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    w->stream = arena_alloc(w->arena, WRITE_MAX_BYTES);
    add_to_stream(w, buf_text(w->headers), w->headers->len);
    add_to_stream(w, content, strlen(content));
}

bool answer_stream_add(struct answer *w, const char *data, size_t len)
{
    return !w->head && add_to_stream(w, data, len);
}

void answer_stream_flush(struct answer *w)
{
    flush(w);
}
