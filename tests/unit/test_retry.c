#include "fcgi/lessons/generator/retry.h"

#include "tests/unit/suites.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DEADLINE = 10 * MINUTE };

/* What happened, and the policy: how often the same provider again, who is counted, who is held. */
static const struct policy {
    const char *what;
    long status;
    enum llm_failure failure;
    int retries;
    bool counts;
    int64_t hold_ms;
} policies[] = {
    {"400, an unsupported parameter", 400, LLM_INVALID_REQUEST, 0, false, 0},
    {"400, the prompt is too long", 400, LLM_CONTEXT_LENGTH, 0, false, 0},
    {"400, billing", 400, LLM_QUOTA, 0, false, HOUR},
    {"400, a key that is none", 400, LLM_AUTH, 0, false, 24 * HOUR},
    {"400, the prompt is refused", 400, LLM_CONTENT_FILTERED, 0, false, 0},
    {"401", 401, LLM_AUTH, 0, false, 24 * HOUR},
    {"402", 402, LLM_QUOTA, 0, false, HOUR},
    {"403", 403, LLM_AUTH, 0, false, 24 * HOUR},
    {"404", 404, LLM_MODEL_NOT_FOUND, 0, false, 10 * MINUTE},
    {"408", 408, LLM_SERVER_ERROR, 2, true, 0},
    {"409", 409, LLM_SERVER_ERROR, 2, true, 0},
    {"410", 410, LLM_MODEL_NOT_FOUND, 0, false, 10 * MINUTE},
    {"413", 413, LLM_INVALID_REQUEST, 0, false, 0},
    {"422", 422, LLM_INVALID_REQUEST, 1, false, 0},
    {"429, too fast", 429, LLM_RATE_LIMITED, 2, false, 0},
    {"429, no money", 429, LLM_QUOTA, 0, false, HOUR},
    {"498", 498, LLM_RATE_LIMITED, 2, false, 0},
    {"500", 500, LLM_SERVER_ERROR, 2, true, 0},
    {"502", 502, LLM_SERVER_ERROR, 2, true, 0},
    {"503", 503, LLM_SERVER_ERROR, 2, true, 0},
    {"504", 504, LLM_SERVER_ERROR, 2, true, 0},
    {"520", 520, LLM_SERVER_ERROR, 2, true, 0},
    {"524", 524, LLM_SERVER_ERROR, 2, true, 0},
    {"529", 529, LLM_SERVER_ERROR, 2, true, 0},
    {"200, no text", 200, LLM_EMPTY, 0, false, 0},
    {"200, refused", 200, LLM_CONTENT_FILTERED, 0, false, 0},
    {"200, cut at the token limit", 200, LLM_TRUNCATED, 0, false, 0},
    {"200, not the protocol", 200, LLM_INVALID_RESPONSE, 1, true, 0},
    {"200, over 4 MiB", 200, LLM_TOO_LARGE, 0, false, 0},
    {"302", 302, LLM_INVALID_RESPONSE, 1, true, 0},
    {"no connection", 0, LLM_CONNECTION, 2, true, 0},
    {"no answer in time", 0, LLM_TIMEOUT, 0, true, 0},
    {"we stopped it", 0, LLM_CANCELLED, 0, false, 0},
    {"the process died", 0, LLM_WORKER_LOST, 2, false, 0},
};

static struct retry_state state_of(const struct policy *p, int tries)
{
    return (struct retry_state){
        .failure = p->failure,
        .status = p->status,
        .retry_after_ms = LLM_UNKNOWN,
        .tries = tries,
        .calls = tries,
        .calls_max = 10,
        .left_ms = DEADLINE,
        .jitter = 1.0,
    };
}

static void assert_decision(const char *what, const struct retry_state *s, enum retry_action action,
                            int64_t wait_ms)
{
    struct retry_decision d = retry_decide(s);

    ck_assert_msg(d.action == action, "%s, try %d: %s", what, s->tries,
                  d.action == RETRY_SAME ? "tried again" : "left");
    ck_assert_msg(d.wait_ms == wait_ms, "%s, try %d: waits %lld, not %lld", what, s->tries,
                  (long long)d.wait_ms, (long long)wait_ms);
}

START_TEST(rule_is_that_of_the_policy)
{
    const struct policy *p = &policies[_i];
    const struct retry_rule *r = retry_rule(p->failure, p->status);

    ck_assert_msg(r->failure == p->failure, "%s", p->what);
    ck_assert_msg(r->retries == p->retries, "%s: %d retries", p->what, r->retries);
    ck_assert_msg(r->counts == p->counts, "%s: counted", p->what);
    ck_assert_msg(r->hold_ms == p->hold_ms, "%s: held %lld", p->what, (long long)r->hold_ms);
    ck_assert_int_le(r->retries, RETRY_PER_PROVIDER);
}
END_TEST

START_TEST(a_status_has_the_class_of_the_policy_if_the_body_says_nothing)
{
    const struct policy *p = &policies[_i];
    enum llm_failure failure = llm_status_failure(p->status);

    if (p->what[3] == '\0') /* else a body said more than the status, or there was none */
        ck_assert_msg(failure == p->failure, "%s: %s", p->what, llm_failure_name(failure));
}
END_TEST

START_TEST(every_class_of_failure_has_a_policy)
{
    for (int f = LLM_NONE + 1; f < LLM_FAILURE_COUNT; f++) {
        bool found = false;

        for (size_t i = 0; i < sizeof policies / sizeof *policies; i++)
            found = found || policies[i].failure == (enum llm_failure)f;
        ck_assert_msg(found, "%s", llm_failure_name((enum llm_failure)f));
        ck_assert_int_eq(retry_rule((enum llm_failure)f, 0)->failure, f);
    }
}
END_TEST

/* Whether another provider is ready or not: so short a wait is worth it. */
START_TEST(tries_again_as_often_as_the_policy_says_then_leaves)
{
    const struct policy *p = &policies[_i];
    static const int64_t waits[] = {500, 1000};

    for (int other = 0; other <= 1; other++)
        for (int tries = 1; tries <= 4; tries++) {
            struct retry_state s = state_of(p, tries);

            s.other_ready = other;
            if (tries <= p->retries)
                assert_decision(p->what, &s, RETRY_SAME, waits[tries - 1]);
            else
                assert_decision(p->what, &s, RETRY_FALLBACK, 0);
        }
}
END_TEST

START_TEST(leaves_whatever_happened_when_no_call_is_left)
{
    struct retry_state s = state_of(&policies[_i], 1);

    for (s.calls = s.calls_max; s.calls < s.calls_max + 2; s.calls++)
        assert_decision(policies[_i].what, &s, RETRY_FALLBACK, 0);
}
END_TEST

START_TEST(leaves_whatever_happened_when_no_time_is_left)
{
    static const int64_t left[] = {500, 499, 1, 0, -1, -DEADLINE};

    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        struct retry_state s = state_of(&policies[_i], 1);

        s.left_ms = left[i];
        assert_decision(policies[_i].what, &s, RETRY_FALLBACK, 0);
    }
}
END_TEST

/* After a 429; the same holds for all that is tried again. */
static const struct wait {
    const char *what;
    int tries;
    int64_t asked, left;
    bool other_ready;
    enum retry_action action;
    int64_t wait_ms;
} waits[] = {
    {"nothing asked", 1, LLM_UNKNOWN, DEADLINE, false, RETRY_SAME, 500},
    {"nothing asked, second time", 2, LLM_UNKNOWN, DEADLINE, false, RETRY_SAME, 1000},
    {"nothing asked, another ready", 2, LLM_UNKNOWN, DEADLINE, true, RETRY_SAME, 1000},
    {"at once", 1, 0, DEADLINE, false, RETRY_SAME, 0},
    {"at once, another ready", 1, 0, DEADLINE, true, RETRY_SAME, 0},
    {"short", 1, 1500, DEADLINE, false, RETRY_SAME, 1500},
    {"short, another ready", 1, 1500, DEADLINE, true, RETRY_SAME, 1500},
    {"shorter than ours would be", 2, 1, DEADLINE, false, RETRY_SAME, 1},
    {"2 s", 1, 2000, DEADLINE, false, RETRY_SAME, 2000},
    {"2 s, another ready", 1, 2000, DEADLINE, true, RETRY_SAME, 2000},
    {"over 2 s", 1, 2001, DEADLINE, false, RETRY_SAME, 2001},
    {"over 2 s, another ready", 1, 2001, DEADLINE, true, RETRY_FALLBACK, 0},
    {"10 s", 1, 10000, DEADLINE, false, RETRY_SAME, 10000},
    {"10 s, another ready", 1, 10000, DEADLINE, true, RETRY_FALLBACK, 0},
    {"over 10 s: ours instead", 1, 10001, DEADLINE, false, RETRY_SAME, 500},
    {"over 10 s: ours instead, second time", 2, 60000, DEADLINE, false, RETRY_SAME, 1000},
    {"over 10 s, another ready", 1, 60000, DEADLINE, true, RETRY_FALLBACK, 0},
    {"for ever", 1, INT64_MAX, DEADLINE, false, RETRY_SAME, 500},
    {"for ever, another ready", 1, INT64_MAX, DEADLINE, true, RETRY_FALLBACK, 0},
    {"just within what is left", 1, 3000, 3001, false, RETRY_SAME, 3000},
    {"all that is left: ours instead", 1, 3000, 3000, false, RETRY_SAME, 500},
    {"more than is left: ours instead", 1, 9000, 3000, false, RETRY_SAME, 500},
    {"ours is more than is left, too", 2, 9000, 1000, false, RETRY_FALLBACK, 0},
    {"too often", 3, 0, DEADLINE, false, RETRY_FALLBACK, 0},
};

START_TEST(waits_as_asked_or_longer_each_time)
{
    const struct wait *w = &waits[_i];
    struct retry_state s = state_of(&(struct policy){"", 429, LLM_RATE_LIMITED, 0, 0, 0}, w->tries);

    s.retry_after_ms = w->asked;
    s.left_ms = w->left;
    s.other_ready = w->other_ready;
    assert_decision(w->what, &s, w->action, w->wait_ms);
}
END_TEST

START_TEST(never_waits_for_what_is_not_tried_again)
{
    const struct policy *p = &policies[_i];
    struct retry_state s = state_of(p, 1);

    s.retry_after_ms = 100;
    if (p->retries == 0)
        assert_decision(p->what, &s, RETRY_FALLBACK, 0);
    else
        assert_decision(p->what, &s, RETRY_SAME, 100);
}
END_TEST

START_TEST(jitter_is_a_fifth_either_way_of_our_waits_and_none_of_theirs)
{
    struct retry_state s = state_of(&(struct policy){"", 500, LLM_SERVER_ERROR, 0, 0, 0}, 1);

    s.jitter = 0.8;
    assert_decision("shortest", &s, RETRY_SAME, 400);
    s.jitter = 1.2;
    assert_decision("longest", &s, RETRY_SAME, 600);
    s.tries = 2;
    assert_decision("longest, second time", &s, RETRY_SAME, 1200);
    s.jitter = 0.8;
    assert_decision("shortest, second time", &s, RETRY_SAME, 800);
    s.retry_after_ms = 1000;
    assert_decision("as asked", &s, RETRY_SAME, 1000);
}
END_TEST

#define EACH(t, test, table) tcase_add_loop_test(t, test, 0, sizeof table / sizeof *table)

Suite *suite_retry(void)
{
    Suite *s = suite_create("retry");
    TCase *t = tcase_create("all");

    EACH(t, rule_is_that_of_the_policy, policies);
    EACH(t, a_status_has_the_class_of_the_policy_if_the_body_says_nothing, policies);
    tcase_add_test(t, every_class_of_failure_has_a_policy);
    EACH(t, tries_again_as_often_as_the_policy_says_then_leaves, policies);
    EACH(t, leaves_whatever_happened_when_no_call_is_left, policies);
    EACH(t, leaves_whatever_happened_when_no_time_is_left, policies);
    EACH(t, waits_as_asked_or_longer_each_time, waits);
    EACH(t, never_waits_for_what_is_not_tried_again, policies);
    tcase_add_test(t, jitter_is_a_fifth_either_way_of_our_waits_and_none_of_theirs);
    suite_add_tcase(s, t);
    return s;
}
