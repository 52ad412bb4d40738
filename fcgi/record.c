#include "fcgi/record.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    VERSION = 1,
    STDOUT = 6,
    END_REQUEST = 3,
    CONTENT_MAX = 65528, /* a multiple of 8 */
    RECORDS_MAX = 32,    /* 2 MB in one sendmsg(2), more in the next */
    PIECES_MAX = 512,
};

struct header {
    uint8_t version, type, id[2], length[2], padding, reserved;
};

static const uint8_t status_0[8]; /* of an END_REQUEST: all went well */

/* What is to be sent next: headers and contents. */
struct out {
    int fd, id;
    struct header headers[RECORDS_MAX];
    struct iovec pieces[PIECES_MAX];
    int records, count;
    size_t length; /* of the last record */
};

static void end_record(struct out *o)
{
    struct header *h = &o->headers[o->records - 1];

    h->length[0] = (uint8_t)(o->length >> 8);
    h->length[1] = (uint8_t)(o->length & 0xFF);
}

/* After so many bytes were taken, the rest. */
static void skip(struct msghdr *m, size_t bytes)
{
    while (m->msg_iovlen > 0 && bytes >= m->msg_iov->iov_len) {
        bytes -= m->msg_iov->iov_len;
        m->msg_iov++;
        m->msg_iovlen--;
    }
    if (m->msg_iovlen > 0) {
        m->msg_iov->iov_base = (char *)m->msg_iov->iov_base + bytes;
        m->msg_iov->iov_len -= bytes;
    }
}

static bool flush(struct out *o)
{
    struct msghdr m = {.msg_iov = o->pieces, .msg_iovlen = (size_t)o->count};

    if (o->records > 0)
        end_record(o);
    o->records = o->count = 0;
    while (m.msg_iovlen > 0) {
        ssize_t n = sendmsg(o->fd, &m, MSG_NOSIGNAL);

        if (n >= 0)
            skip(&m, (size_t)n);
        else if (errno != EINTR)
            return false;
    }
    return true;
}

/* sendmsg(2) only reads, though its type does not say so. */
static void add_piece(struct out *o, const void *data, size_t len)
{
    struct iovec *piece = &o->pieces[o->count++];

    memcpy(&piece->iov_base, &data, sizeof data);
    piece->iov_len = len;
}

/* There is room for it, and for a first piece. */
static void begin_record(struct out *o, uint8_t type)
{
    struct header *h;

    if (o->records > 0)
        end_record(o);
    h = &o->headers[o->records++];
    *h = (struct header){
        .version = VERSION, .type = type, .id = {(uint8_t)(o->id >> 8), (uint8_t)(o->id & 0xFF)}};
    o->length = 0;
    add_piece(o, h, sizeof *h);
}

/* Of a content, what the record has room for; 0: the peer takes nothing. */
static size_t add(struct out *o, const char *data, size_t len)
{
    if (o->count + 2 > PIECES_MAX || (o->records == RECORDS_MAX && o->length == CONTENT_MAX)) {
        if (!flush(o))
            return 0;
    }
    if (o->records == 0 || o->length == CONTENT_MAX)
        begin_record(o, STDOUT);
    if (len > CONTENT_MAX - o->length)
        len = CONTENT_MAX - o->length;
    add_piece(o, data, len);
    o->length += len;
    return len;
}

/* The end of the standard output, and of the request. */
static bool add_end(struct out *o)
{
    if ((o->records + 2 > RECORDS_MAX || o->count + 3 > PIECES_MAX) && !flush(o))
        return false;
    begin_record(o, STDOUT);
    begin_record(o, END_REQUEST);
    add_piece(o, status_0, sizeof status_0);
    o->length = sizeof status_0;
    return true;
}

bool record_write(int fd, int id, const struct record_part *first, bool last)
{
    struct out o = {.fd = fd, .id = id};

    for (const struct record_part *p = first; p != NULL; p = p->next)
        for (size_t at = 0, n; at < p->len; at += n)
            if ((n = add(&o, p->data + at, p->len - at)) == 0)
                return false;
    return (!last || add_end(&o)) && flush(&o);
}
