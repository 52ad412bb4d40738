#include "fcgi/lessons/generator/loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/suites.h"

enum { PATIENCE_MS = 5000, MANY = 10000 };

static sigset_t mask_before;
static struct loop_timer patience;
static int rounds, rounds_max;

static void give_up(void *arg)
{
    (void)arg;
    ck_abort_msg("the loop waits for ever");
}

static void set_up(void)
{
    sigprocmask(SIG_SETMASK, NULL, &mask_before);
    loop_init();
    patience = (struct loop_timer){.fire = give_up};
    loop_timer_set(&patience, PATIENCE_MS);
    rounds = rounds_max = 0;
}

static void tear_down(void)
{
    loop_finish();
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
    signal(SIGPIPE, SIG_DFL);
}

static void each_round(void)
{
    rounds++;
    if (rounds == rounds_max)
        loop_stop();
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop();
}

/* ---- timers ---- */

struct probe {
    struct loop_timer timer;
    int64_t due; /* not before */
    int fired, order;
};

static int fired_count;

static void note(void *arg)
{
    struct probe *p = arg;

    ck_assert_int_ge(loop_now(), p->due);
    ck_assert_uint_eq(p->timer.index, 0); /* it may be set again */
    p->fired++;
    p->order = ++fired_count;
}

static void set(struct probe *p, int64_t delay_ms)
{
    if (p->timer.fire == NULL)
        p->timer = (struct loop_timer){.fire = note, .arg = p};
    p->due = loop_now() + (delay_ms > 0 ? delay_ms : 0);
    loop_timer_set(&p->timer, delay_ms);
}

static void run_for(int64_t ms)
{
    struct loop_timer end = {.fire = stop};

    loop_timer_set(&end, ms);
    loop_run(each_round);
}

static const int sequences[][6] = {
    {10, 20, 30, 40, 50, 60}, {60, 50, 40, 30, 20, 10}, {30, 10, 60, 20, 50, 40},
    {0, 40, 20, 60, 80, 10},  {-5, 40, 20, 60, 80, 10}, {5, 5, 1, 1, 5, 5},
};

/* By the times they were given: a busy machine may let some pass between two of them. */
static void assert_in_order(const struct probe probes[], int count)
{
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            if (probes[i].timer.at < probes[j].timer.at)
                ck_assert_int_lt(probes[i].order, probes[j].order);
}

START_TEST(timers_fire_in_the_order_of_their_times)
{
    struct probe probes[6] = {0};

    fired_count = 0;
    for (int i = 0; i < 6; i++)
        set(&probes[i], sequences[_i][i]);
    run_for(100);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(probes[i].fired, 1);
    assert_in_order(probes, 6);
}
END_TEST

START_TEST(timers_of_the_same_time_all_fire)
{
    struct probe probes[100] = {0};

    for (int i = 0; i < 100; i++)
        set(&probes[i], 5);
    run_for(20);
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(probes[i].fired, 1);
}
END_TEST

START_TEST(a_timer_set_again_fires_once_at_its_new_time)
{
    struct probe probes[2] = {0}, *later = &probes[0], *sooner = &probes[1];

    fired_count = 0;
    set(later, 1);
    set(sooner, 4000);
    set(later, 50);
    set(sooner, 10);
    set(sooner, 10);
    run_for(80);
    ck_assert_int_eq(later->fired, 1);
    ck_assert_int_eq(sooner->fired, 1);
    assert_in_order(probes, 2);
}
END_TEST

START_TEST(a_stopped_timer_does_not_fire)
{
    struct probe first = {0}, middle = {0}, last = {0}, never = {0};

    set(&first, 1);
    set(&middle, 2);
    set(&last, 3);
    loop_timer_stop(&middle.timer);
    loop_timer_stop(&middle.timer); /* twice does no harm */
    loop_timer_stop(&never.timer);  /* nor does one that was never set */
    run_for(20);
    ck_assert_int_eq(first.fired, 1);
    ck_assert_int_eq(middle.fired, 0);
    ck_assert_int_eq(last.fired, 1);
    ck_assert_int_eq(never.fired, 0);
}
END_TEST

struct repeat {
    struct loop_timer timer;
    int left, fired;
    int64_t delay;
};

static void repeat(void *arg)
{
    struct repeat *r = arg;

    r->fired++;
    if (--r->left > 0)
        loop_timer_set(&r->timer, r->delay);
    else
        loop_stop();
}

static const int64_t repeat_delays[] = {0, 1, 3};

START_TEST(a_timer_can_be_set_again_from_its_own_callback)
{
    struct repeat r = {.timer = {.fire = repeat, .arg = &r}, .left = 10};

    r.delay = repeat_delays[_i];
    loop_timer_set(&r.timer, r.delay);
    loop_run(each_round); /* however long it takes, within the test's patience */
    ck_assert_int_eq(r.fired, 10);
}
END_TEST

static struct probe neighbours[8];

/*
 * Stops the even ones, puts off the third, hastens the seventh, and stops itself, which is none.
 * The end is counted from here, too: however late this comes, the third is before it.
 */
static void disturb(void *arg)
{
    static struct loop_timer end = {.fire = stop};
    struct loop_timer *self = arg;

    for (int i = 0; i < 8; i += 2)
        loop_timer_stop(&neighbours[i].timer);
    set(&neighbours[3], 530);
    set(&neighbours[7], 0);
    loop_timer_set(&end, 600);
    loop_timer_stop(self);
}

START_TEST(timers_can_be_stopped_and_set_from_another_ones_callback)
{
    struct loop_timer t = {.fire = disturb, .arg = &t};
    static const int fired[8] = {0, 1, 0, 1, 0, 1, 0, 1};

    memset(neighbours, 0, sizeof neighbours);
    fired_count = 0;
    loop_timer_set(&t, 1);
    for (int i = 0; i < 8; i++)
        set(&neighbours[i], i == 7 ? 4000 : 500);
    loop_run(each_round);
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(neighbours[i].fired, fired[i]);
    ck_assert_int_eq(neighbours[7].order, 1);
    ck_assert_int_eq(neighbours[3].order, 4);
}
END_TEST

static void stop_due(void *arg)
{
    loop_timer_stop(arg);
}

START_TEST(a_timer_that_is_due_can_still_be_stopped)
{
    struct probe victim = {0};
    struct loop_timer t = {.fire = stop_due, .arg = &victim.timer};
    int64_t begin = loop_now();

    loop_timer_set(&t, 1);
    set(&victim, 2);
    while (loop_now() < begin + 10) /* both are due in the first round */
        continue;
    run_for(10);
    ck_assert_int_eq(victim.fired, 0);
}
END_TEST

static int64_t last_at;

static void note_in_order(void *arg)
{
    struct probe *p = arg;

    ck_assert_int_ge(p->due, last_at);
    last_at = p->due;
    note(arg);
}

START_TEST(ten_thousand_random_timers_fire_once_each_in_order)
{
    struct probe *probes = calloc(MANY, sizeof *probes);
    int expected = 0;

    srand48(7);
    fired_count = 0;
    last_at = 0;
    for (int i = 0; i < MANY; i++) {
        probes[i].timer = (struct loop_timer){.fire = note_in_order, .arg = &probes[i]};
        set(&probes[i], 50 + lrand48() % 400);
    }
    for (int i = 0; i < MANY; i++) { /* half of them change their mind */
        struct probe *p = &probes[lrand48() % MANY];

        if (i % 3 == 0)
            loop_timer_stop(&p->timer);
        else if (i % 3 == 1)
            set(p, 50 + lrand48() % 400);
        p->due = p->timer.at;
    }
    for (int i = 0; i < MANY; i++) {
        probes[i].due = probes[i].timer.at; /* exactly */
        probes[i].order = probes[i].timer.index != 0;
        expected += probes[i].order;
    }
    run_for(550);
    ck_assert_int_eq(fired_count, expected);
    ck_assert_int_gt(expected, MANY / 2);
    for (int i = 0; i < MANY; i++)
        ck_assert_int_eq(probes[i].fired, probes[i].order != 0);
    free(probes);
}
END_TEST

START_TEST(does_not_wake_without_need)
{
    run_for(100);
    ck_assert_int_le(rounds, 3);
}
END_TEST

START_TEST(stops_after_the_round_that_asks_for_it)
{
    struct repeat r = {.timer = {.fire = repeat, .arg = &r}, .left = 1000};

    loop_timer_set(&r.timer, 0);
    rounds_max = 3;
    r.delay = 1;
    loop_run(each_round);
    ck_assert_int_eq(rounds, 3);
    ck_assert_int_lt(r.fired, 1000);
    loop_timer_stop(&r.timer);
}
END_TEST

START_TEST(does_not_begin_if_it_was_stopped_before)
{
    loop_stop();
    loop_run(each_round);
    ck_assert_int_eq(rounds, 0);
}
END_TEST

START_TEST(can_be_begun_anew_after_its_end)
{
    struct probe p = {0};

    run_for(1);
    loop_finish();
    loop_init();
    set(&p, 1);
    run_for(10);
    ck_assert_int_eq(p.fired, 1);
}
END_TEST

START_TEST(now_never_goes_back)
{
    int64_t before = loop_now(), now;

    for (int i = 0; i < 10000; i++) {
        now = loop_now();
        ck_assert_int_ge(now, before);
        before = now;
    }
}
END_TEST

/* ---- transfers ---- */

/* Of a local file: they end by themselves, without a server. */
struct fetch {
    CURL *easy;
    struct loop_transfer transfer;
    struct fetch *cancels; /* when it is told */
    int told;
};

enum { FETCHES = 450 }; /* more than one curl handle carries */

static int fetches_left;

static void fetched(void *arg, CURLcode rc)
{
    struct fetch *f = arg;

    ck_assert_int_eq(rc, CURLE_OK);
    f->told++;
    if (f->cancels != NULL) {
        ck_assert(f->cancels->transfer.ended);
        loop_transfer_cancel(&f->cancels->transfer);
        fetches_left--;
    }
    if (--fetches_left == 0)
        loop_stop();
}

static size_t drop(char *data, size_t one, size_t n, void *arg)
{
    (void)data, (void)one, (void)arg;
    return n;
}

static void fetch(struct fetch *f, const char *url)
{
    f->easy = curl_easy_init();
    f->transfer = (struct loop_transfer){.done = fetched, .arg = f};
    curl_easy_setopt(f->easy, CURLOPT_URL, url);
    curl_easy_setopt(f->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(f->easy, CURLOPT_WRITEFUNCTION, drop);
    loop_transfer_start(f->easy, false, &f->transfer);
}

static struct fetch *fetch_many(int count, const char *url)
{
    struct fetch *fetches = calloc((size_t)count, sizeof *fetches);

    fetches_left = count;
    for (int i = 0; i < count; i++)
        fetch(&fetches[i], url);
    return fetches;
}

static void finish_fetches(struct fetch *fetches, int count)
{
    for (int i = 0; i < count; i++) {
        loop_transfer_cancel(&fetches[i].transfer); /* does no harm */
        curl_easy_cleanup(fetches[i].easy);
    }
    free(fetches);
}

START_TEST(transfers_end_once_each_however_many_and_not_where_they_start)
{
    struct fetch *fetches = fetch_many(FETCHES, "file:///dev/null");

    for (int i = 0; i < FETCHES; i++)
        ck_assert_int_eq(fetches[i].told, 0);
    loop_run(each_round);
    for (int i = 0; i < FETCHES; i++)
        ck_assert_int_eq(fetches[i].told, 1);
    finish_fetches(fetches, FETCHES);
}
END_TEST

START_TEST(a_cancelled_transfer_is_not_told_of_even_if_it_has_ended)
{
    struct fetch *fetches = fetch_many(FETCHES, "file:///dev/null");

    for (int i = 0; i + 2 < FETCHES; i += 3) /* the first of three cancels the last */
        fetches[i].cancels = &fetches[i + 2];
    loop_run(each_round);
    for (int i = 0; i < FETCHES; i++)
        ck_assert_int_eq(fetches[i].told, i % 3 < 2);
    finish_fetches(fetches, FETCHES);
}
END_TEST

/* ---- transfers over sockets ---- */

enum { CROWD = 250, LOOK_MS = 5 }; /* more than a curl handle carries, over a connection each */

/* Answers when so many have asked, all at once. */
static struct {
    int listener, fds[2 * CROWD], count, asked, wanted;
    bool waiting[2 * CROWD]; /* for their answer */
    char url[64];
    struct loop_timer timer;
    void (*before)(void); /* the answers */
} server;

static void answer_all(void)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    if (server.before != NULL)
        server.before();
    for (int i = 0; i < server.count; i++) {
        if (server.waiting[i])
            (void)!write(server.fds[i], answer, sizeof answer - 1); /* it may have been cancelled */
        server.waiting[i] = false;
    }
    server.asked = 0;
}

static void serve(void *arg)
{
    char request[1024];
    int fd;

    (void)arg;
    while (server.count < 2 * CROWD &&
           (fd = accept4(server.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        server.fds[server.count++] = fd;
    for (int i = 0; i < server.count; i++)
        if (read(server.fds[i], request, sizeof request) > 0) {
            server.waiting[i] = true;
            server.asked++;
        }
    if (server.asked == server.wanted)
        answer_all();
    loop_timer_set(&server.timer, LOOK_MS);
}

static void open_server(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;

    memset(&server, 0, sizeof server);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server.listener, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(server.listener, CROWD), 0);
    ck_assert_int_eq(getsockname(server.listener, (struct sockaddr *)&a, &len), 0);
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    server.timer.fire = serve;
    server.wanted = CROWD;
    loop_timer_set(&server.timer, LOOK_MS);
}

static void close_server(void)
{
    loop_timer_stop(&server.timer);
    for (int i = 0; i < server.count; i++)
        close(server.fds[i]);
    close(server.listener);
}

static struct fetch *crowd;

static void fetch_crowd(void)
{
    crowd = fetch_many(CROWD, server.url);
    loop_run(each_round);
    for (int i = 0; i < CROWD; i++)
        ck_assert_int_eq(crowd[i].told, 1);
}

START_TEST(hundreds_are_under_way_at_a_time)
{
    open_server();
    fetch_crowd();
    ck_assert_int_eq(server.count, CROWD); /* a connection each: none waited for another */
    finish_fetches(crowd, CROWD);
    close_server();
}
END_TEST

/* Every second one, of each curl handle, with its connection; one begins in its place. */
static void replace_half(void)
{
    for (int i = CROWD - 2; i >= 0; i -= 2) {
        ck_assert(!crowd[i].transfer.ended);
        loop_transfer_cancel(&crowd[i].transfer);
        curl_easy_cleanup(crowd[i].easy);
    }
    for (int i = 0; i < CROWD; i += 2)
        fetch(&crowd[i], server.url);
    server.wanted = CROWD / 2;
    server.before = NULL;
}

START_TEST(a_descriptor_may_go_from_one_curl_handle_to_another)
{
    open_server();
    server.before = replace_half;
    fetch_crowd();
    ck_assert_int_eq(server.count, CROWD + CROWD / 2);
    finish_fetches(crowd, CROWD);
    close_server();
}
END_TEST

/* ---- descriptors ---- */

static int ends[2], reads, calls;

static void open_pipe(void)
{
    ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    reads = calls = 0;
}

static void close_pipe(void)
{
    close(ends[0]);
    close(ends[1]);
}

static void take(void *arg)
{
    char byte;

    calls++;
    while (read(ends[0], &byte, 1) == 1)
        reads++;
    if (reads >= *(int *)arg)
        loop_stop();
}

static void send_byte(void *arg)
{
    (void)arg;
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
}

START_TEST(tells_when_a_descriptor_can_be_read)
{
    struct loop_timer t = {.fire = send_byte};
    int want = 2;

    open_pipe();
    loop_watch(ends[0], false, take, &want);
    send_byte(NULL);
    loop_timer_set(&t, 10);
    loop_run(each_round);
    ck_assert_int_eq(reads, 2);
    ck_assert_int_eq(calls, 2);
    loop_unwatch(ends[0], &want);
    close_pipe();
}
END_TEST

static void written(void *arg)
{
    (void)arg;
    calls++;
    loop_stop();
}

START_TEST(tells_when_a_descriptor_can_be_written_where_asked_for)
{
    open_pipe();
    loop_watch(ends[1], false, written, &calls);
    run_for(5);
    ck_assert_int_eq(calls, 0);
    loop_finish();
    loop_init();
    loop_watch(ends[1], false, written, &calls);
    loop_watch(ends[1], true, written, &calls); /* again to change */
    loop_run(each_round);
    ck_assert_int_eq(calls, 1);
    loop_unwatch(ends[1], &calls);
    close_pipe();
}
END_TEST

START_TEST(watches_no_more_when_told)
{
    int want = 1;

    open_pipe();
    loop_watch(ends[0], false, take, &want);
    loop_unwatch(ends[0], &want);
    send_byte(NULL);
    run_for(5);
    ck_assert_int_eq(calls, 0);
    close_pipe();
}
END_TEST

START_TEST(only_who_watches_can_end_it)
{
    int want = 1, other = 1;

    open_pipe();
    loop_watch(ends[0], false, take, &want);
    loop_unwatch(ends[0], &other);
    send_byte(NULL);
    loop_run(each_round);
    ck_assert_int_eq(reads, 1);
    loop_unwatch(ends[0], &want);
    close_pipe();
}
END_TEST

START_TEST(no_descriptor_is_nothing_to_watch)
{
    loop_watch(-1, true, take, NULL);
    loop_unwatch(-1, NULL);
    run_for(1);
}
END_TEST

static int other_end;

static void end_the_other(void *arg)
{
    calls++;
    loop_unwatch(other_end, arg);
}

START_TEST(what_was_unwatched_in_a_round_is_not_called_in_it)
{
    int first[2], second[2];

    calls = 0;
    ck_assert_int_eq(pipe2(first, O_CLOEXEC) | pipe2(second, O_CLOEXEC), 0);
    ck_assert_int_eq(write(first[1], "x", 1) + write(second[1], "x", 1), 2);
    /* whichever comes first ends the other */
    other_end = second[0];
    loop_watch(first[0], false, end_the_other, &calls);
    loop_watch(second[0], false, give_up, &calls);
    rounds_max = 1;
    loop_run(each_round);
    ck_assert_int_eq(calls, 1);
    loop_unwatch(first[0], &calls);
    for (int i = 0; i < 2; i++) {
        close(first[i]);
        close(second[i]);
    }
}
END_TEST

START_TEST(a_descriptor_closed_and_opened_again_can_be_watched)
{
    int want = 1;

    open_pipe();
    loop_watch(ends[0], false, take, &want);
    close_pipe(); /* without a word */
    open_pipe();
    loop_watch(ends[0], false, take, &want);
    send_byte(NULL);
    loop_run(each_round);
    ck_assert_int_eq(reads, 1);
    loop_unwatch(ends[0], &want);
    close_pipe();
}
END_TEST

/* ---- signals ---- */

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};

START_TEST(signals_are_told_in_the_loop)
{
    loop_on_stop_signal(written, NULL);
    calls = 0;
    raise(signals[_i]); /* blocked: nothing happens yet */
    ck_assert_int_eq(calls, 0);
    loop_run(each_round);
    ck_assert_int_eq(calls, 1);
}
END_TEST

START_TEST(a_broken_pipe_kills_nobody)
{
    open_pipe();
    close(ends[0]);
    ck_assert_int_eq(write(ends[1], "x", 1), -1);
    close(ends[1]);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_loop(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("all");

    tcase_add_checked_fixture(t, set_up, tear_down);
    EACH(t, timers_fire_in_the_order_of_their_times, sequences);
    tcase_add_test(t, timers_of_the_same_time_all_fire);
    tcase_add_test(t, a_timer_set_again_fires_once_at_its_new_time);
    tcase_add_test(t, a_stopped_timer_does_not_fire);
    EACH(t, a_timer_can_be_set_again_from_its_own_callback, repeat_delays);
    tcase_add_test(t, timers_can_be_stopped_and_set_from_another_ones_callback);
    tcase_add_test(t, a_timer_that_is_due_can_still_be_stopped);
    tcase_add_test(t, ten_thousand_random_timers_fire_once_each_in_order);
    tcase_add_test(t, does_not_wake_without_need);
    tcase_add_test(t, stops_after_the_round_that_asks_for_it);
    tcase_add_test(t, does_not_begin_if_it_was_stopped_before);
    tcase_add_test(t, can_be_begun_anew_after_its_end);
    tcase_add_test(t, now_never_goes_back);
    tcase_add_test(t, transfers_end_once_each_however_many_and_not_where_they_start);
    tcase_add_test(t, a_cancelled_transfer_is_not_told_of_even_if_it_has_ended);
    tcase_add_test(t, hundreds_are_under_way_at_a_time);
    tcase_add_test(t, a_descriptor_may_go_from_one_curl_handle_to_another);
    tcase_add_test(t, tells_when_a_descriptor_can_be_read);
    tcase_add_test(t, tells_when_a_descriptor_can_be_written_where_asked_for);
    tcase_add_test(t, watches_no_more_when_told);
    tcase_add_test(t, only_who_watches_can_end_it);
    tcase_add_test(t, no_descriptor_is_nothing_to_watch);
    tcase_add_test(t, what_was_unwatched_in_a_round_is_not_called_in_it);
    tcase_add_test(t, a_descriptor_closed_and_opened_again_can_be_watched);
    EACH(t, signals_are_told_in_the_loop, signals);
    tcase_add_test(t, a_broken_pipe_kills_nobody);
    suite_add_tcase(s, t);
    return s;
}
