#include "fcgi/record.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "tests/unit/suites.h"

enum { ID = 0x0102, STDOUT = 6, END_REQUEST = 3, HEADER = 8, RECEIVED_MAX = 8 << 20 };

static int ours, theirs;

/* What the peer has: the content of all records, and of how many; whether the request is over. */
static struct {
    unsigned char *bytes;
    size_t len;
    char *content;
    size_t content_len;
    int records, empty, ends;
    bool over;
} got;

static void set_up(void)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ours = pair[0];
    theirs = pair[1];
    memset(&got, 0, sizeof got);
    got.bytes = malloc(RECEIVED_MAX);
    got.content = malloc(RECEIVED_MAX);
}

static void tear_down(void)
{
    close(ours);
    close(theirs);
    free(got.bytes);
    free(got.content);
}

/* A little at a time, as a busy peer. */
static void *receive(void *arg)
{
    ssize_t n;

    (void)arg;
    while ((n = read(theirs, got.bytes + got.len, 50000)) > 0)
        got.len += (size_t)n;
    return NULL;
}

static void read_records(void)
{
    for (size_t at = 0; at < got.len;) {
        const unsigned char *h = got.bytes + at;
        size_t len = (size_t)(h[4] << 8 | h[5]);

        ck_assert(at + HEADER + len + h[6] <= got.len);
        ck_assert_int_eq(h[0], 1);
        ck_assert_int_eq(h[2] << 8 | h[3], ID);
        ck_assert(!got.over);
        if (h[1] == STDOUT) {
            ck_assert_int_eq(got.empty, 0);
            memcpy(got.content + got.content_len, h + HEADER, len);
            got.content_len += len;
            got.records++;
            got.empty += len == 0;
        } else {
            ck_assert_int_eq(h[1], END_REQUEST);
            ck_assert_int_eq((int)len, 8);
            ck_assert_mem_eq(h + HEADER, "\0\0\0\0\0\0\0\0", 8);
            got.over = true;
        }
        at += HEADER + len + h[6];
    }
}

static void write_and_receive(const struct record_part *first, bool last)
{
    pthread_t peer;

    ck_assert_int_eq(pthread_create(&peer, NULL, receive, NULL), 0);
    ck_assert(record_write(ours, ID, first, last));
    shutdown(ours, SHUT_WR);
    pthread_join(peer, NULL);
    read_records();
}

START_TEST(an_answer_is_a_record_and_its_end)
{
    struct record_part body = {"body", 4, NULL}, head = {"head: x\r\n\r\n", 11, &body};

    write_and_receive(&head, true);
    ck_assert_int_eq((int)got.content_len, 15);
    ck_assert_mem_eq(got.content, "head: x\r\n\r\nbody", 15);
    ck_assert_int_eq(got.records, 2);
    ck_assert_int_eq(got.empty, 1);
    ck_assert(got.over);
}
END_TEST

START_TEST(nothing_but_the_end)
{
    write_and_receive(NULL, true);
    ck_assert_int_eq((int)got.content_len, 0);
    ck_assert_int_eq(got.empty, 1);
    ck_assert(got.over);
}
END_TEST

START_TEST(a_stream_goes_on)
{
    struct record_part one = {"one", 3, NULL}, none = {"", 0, NULL};

    ck_assert(record_write(ours, ID, &one, false));
    ck_assert(record_write(ours, ID, &none, false)); /* an empty record would end it */
    write_and_receive(&one, true);
    ck_assert_int_eq((int)got.content_len, 6);
    ck_assert_mem_eq(got.content, "oneone", 6);
    ck_assert_int_eq(got.records, 3);
    ck_assert(got.over);
}
END_TEST

/* Around the length of a record, and of what one sendmsg(2) takes. */
START_TEST(any_length_arrives_whole)
{
    static const size_t lengths[] = {1,          65527,          65528,          65529,
                                     65535,      65536,          65537,          99999,
                                     32 * 65528, 32 * 65528 + 1, 31 * 65528 - 1, 5000000};
    size_t len = lengths[_i];
    char *data = malloc(len);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 2654435761U >> 24);
    write_and_receive(&(struct record_part){data, len, NULL}, true);
    ck_assert(got.content_len == len);
    ck_assert(memcmp(got.content, data, len) == 0);
    ck_assert_int_eq(got.records, (int)((len + 65527) / 65528) + 1);
    ck_assert(got.over);
    free(data);
}
END_TEST

static void parts_arrive_whole(int count, size_t each)
{
    struct record_part *parts = calloc((size_t)count, sizeof *parts);
    size_t len = (size_t)count * each;
    char *data = malloc(len);

    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 2654435761U >> 24);
    for (int i = 0; i < count; i++)
        parts[i] = (struct record_part){data + (size_t)i * each, each,
                                        i + 1 < count ? &parts[i + 1] : NULL};
    write_and_receive(parts, true);
    ck_assert(got.content_len == len);
    ck_assert(memcmp(got.content, data, len) == 0);
    ck_assert(got.over);
    free(parts);
    free(data);
}

/* Around how many pieces one sendmsg(2) takes, the end's among them. */
START_TEST(any_number_of_parts_arrives_whole)
{
    parts_arrive_whole(_i, 7);
}
END_TEST

/* Where with a piece also a record is full: every ninth, and every one. */
START_TEST(parts_that_fill_records_arrive_whole)
{
    parts_arrive_whole(_i, 65528 / 9);
    tear_down();
    set_up();
    parts_arrive_whole(_i % 64 + 1, 65528);
}
END_TEST

START_TEST(empty_parts_are_none)
{
    struct record_part end = {"", 0, NULL}, b = {"b", 1, &end}, none = {NULL, 0, &b},
                       a = {"a", 1, &none};

    write_and_receive(&a, true);
    ck_assert_int_eq((int)got.content_len, 2);
    ck_assert_mem_eq(got.content, "ab", 2);
    ck_assert_int_eq(got.records, 2);
}
END_TEST

START_TEST(a_peer_that_has_gone_is_an_error)
{
    struct record_part body = {"body", 4, NULL};

    close(theirs);
    ck_assert(!record_write(ours, ID, &body, true));
    ck_assert_int_eq(errno, EPIPE);
    theirs = dup(ours);
}
END_TEST

START_TEST(a_peer_that_does_not_read_is_waited_for_no_longer_than_told)
{
    const struct timeval limit = {.tv_usec = 20000};
    struct record_part body = {got.content, RECEIVED_MAX, NULL};

    memset(got.content, 'x', RECEIVED_MAX);
    setsockopt(ours, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    ck_assert(!record_write(ours, ID, &body, true));
    ck_assert(errno == EAGAIN || errno == EWOULDBLOCK);
}
END_TEST

Suite *suite_record(void)
{
    Suite *s = suite_create("record");
    TCase *t = tcase_create("record");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, an_answer_is_a_record_and_its_end);
    tcase_add_test(t, nothing_but_the_end);
    tcase_add_test(t, a_stream_goes_on);
    tcase_add_loop_test(t, any_length_arrives_whole, 0, 12);
    tcase_add_loop_test(t, any_number_of_parts_arrives_whole, 500, 520);
    tcase_add_loop_test(t, any_number_of_parts_arrives_whole, 1015, 1030);
    tcase_add_loop_test(t, parts_that_fill_records_arrive_whole, 500, 520);
    tcase_add_test(t, empty_parts_are_none);
    tcase_add_test(t, a_peer_that_has_gone_is_an_error);
    tcase_add_test(t, a_peer_that_does_not_read_is_waited_for_no_longer_than_told);
    suite_add_tcase(s, t);
    return s;
}
