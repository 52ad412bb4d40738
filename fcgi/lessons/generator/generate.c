#include "fcgi/lessons/generator/generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "common/config.h"
#include "common/log.h"
#include "fcgi/lessons/generator/breaker.h"
#include "fcgi/lessons/generator/call.h"
#include "fcgi/lessons/generator/decisions.h"
#include "fcgi/lessons/generator/markdown.h"
#include "fcgi/lessons/generator/prompt.h"
#include "fcgi/lessons/generator/retry.h"
#include "fcgi/lessons/generator/store.h"
#include "fcgi/lessons/generator/word.h"

enum {
    PROVIDERS_MAX = 16,
    SUMMARY_MAX = 4000,
    RESPONSE_MAX = 16 << 20,
    BUCKETS = 4096, /* of the table by lesson; a power of two */
    STUCK = 3,
};

struct generation {
    struct arena *arena;
    struct generation *next, **link; /* of all */
    struct generation *same;         /* in one bucket */
    const char *lesson_id, *trace_id;
    const char *log_id; /* the request that began it */
    struct prompt_options options;
    struct llm_prompt prompt;
    const char *asked_model; /* for the first provider of the plan; NULL: its own */
    int64_t deadline, begin, age_ms;

    size_t plan[PROVIDERS_MAX]; /* endpoints in the order they are tried */
    int plan_length, place;     /* where in it we are */
    int tries;                  /* on the provider in place */
    int calls;                  /* in the trace, those of earlier processes included */
    int spent;                  /* those that count for the limit */
    struct call *call;
    struct loop_timer timer; /* a wait before the next try */
    bool generated;          /* how it ended, once it has */
    int refusals;            /* so often the result was not taken; STUCK: never will be */
    int writes;              /* not stored yet, of which it is to be told */

    struct decisions *decisions;
    struct buf *summary; /* of what failed */
    const char *model, *last_error;
    enum llm_failure failure;
    int64_t prompt_tokens, completion_tokens, total_tokens;
    double cost_usd;
};

static struct generate_context context;
static struct breaker *breakers;
static struct generation *first;
static struct generation *buckets[BUCKETS];
static int in_flight, stuck;

static void next_provider(struct generation *g, const char *reason);
static void give_up(struct generation *g, const char *reason);

/* ---- life ---- */

void generate_init(const struct generate_context *c)
{
    context = *c;
    breakers = calloc(c->endpoint_count, sizeof *breakers);
    if (breakers == NULL)
        abort();
}

/* A lesson's id is random: its first digits are a hash. */
static struct generation **bucket_of(const char *lesson_id)
{
    return &buckets[strtoul(lesson_id, NULL, 16) % BUCKETS];
}

static struct generation *find(const char *lesson_id)
{
    struct generation *g = *bucket_of(lesson_id);

    while (g != NULL && strcmp(g->lesson_id, lesson_id) != 0)
        g = g->same;
    return g;
}

static void add(struct generation *g)
{
    struct generation **bucket = bucket_of(g->lesson_id);

    g->same = *bucket;
    *bucket = g;
    g->next = first;
    g->link = &first;
    if (first != NULL)
        first->link = &g->next;
    first = g;
    in_flight++;
}

static void take_out(struct generation *g)
{
    struct generation **p = bucket_of(g->lesson_id);

    while (*p != g)
        p = &(*p)->same;
    *p = g->same;
    *g->link = g->next;
    if (g->next != NULL)
        g->next->link = g->link;
    in_flight--;
}

/* To look for them takes a look at those of all generations: most that end have none. */
static void forget_writes(struct generation *g)
{
    if (g->writes > 0)
        store_forget(g);
    g->writes = 0;
}

static void destroy(struct generation *g)
{
    loop_timer_stop(&g->timer);
    forget_writes(g);
    call_destroy(g->call);
    take_out(g);
    stuck -= g->refusals == STUCK;
    arena_destroy(g->arena);
}

void generate_finish(void)
{
    while (first != NULL)
        destroy(first);
    free(breakers);
}

int generate_in_flight(void)
{
    return in_flight - stuck;
}

int generate_stuck(void)
{
    return stuck;
}

const char *generate_held(struct arena *a)
{
    struct buf *b = buf_create(a, 16 << 20);

    for (const struct generation *g = first; g != NULL; g = g->next)
        buf_printf(b, "%s%s", b->len ? "," : "{", g->lesson_id);
    buf_puts(b, b->len ? "}" : "{}");
    return buf_text(b);
}

static const struct llm_endpoint *endpoint_of(const struct generation *g)
{
    return &context.endpoints[g->plan[g->place]];
}

static struct breaker *breaker_of(const struct generation *g)
{
    return &breakers[g->plan[g->place]];
}

static int64_t left_ms(const struct generation *g)
{
    return g->deadline - loop_now();
}

static int64_t total_ms(const struct generation *g)
{
    return g->age_ms + (loop_now() - g->begin);
}

/* ---- storing ---- */

static void lost(struct generation *g, const char *why)
{
    log_info(g->log_id, "generation dropped", LOG_TEXT("lesson", g->lesson_id),
             LOG_TEXT("reason", why));
    destroy(g);
}

static struct job_progress progress(struct generation *g, struct arena *a, bool with_call)
{
    return (struct job_progress){
        .call = with_call ? call_element(a, g->call) : NULL,
        .decisions = decisions_json(g->decisions, a),
        .model = g->model,
        .error_class = g->failure == LLM_NONE ? NULL : llm_failure_name(g->failure),
        .last_error = g->last_error,
        .prompt_tokens = g->prompt_tokens,
        .completion_tokens = g->completion_tokens,
        .total_tokens = g->total_tokens,
        .cost_usd = g->cost_usd,
    };
}

static void add_write(struct generation *g, struct store_write *w,
                      void (*done)(void *, bool, const struct err *))
{
    w->done = done;
    w->arg = g;
    store_add(w);
    g->writes += done != NULL;
}

static void result_stored(void *arg, bool held, const struct err *failed)
{
    struct generation *g = arg;

    g->writes--;
    if (!held && failed == NULL)
        lost(g, "lease or lesson gone");
}

static void record(struct generation *g, void (*done)(void *, bool, const struct err *))
{
    struct store_write *w = store_write_create();
    struct job_progress p = progress(g, w->arena, true);

    job_record(&w->call, w->arena, context.me, &(struct job_name){g->lesson_id, g->trace_id}, &p);
    add_write(g, w, done);
}

static void log_end(const struct generation *g, bool held)
{
    log_info(g->log_id, "generation ended", LOG_TEXT("lesson", g->lesson_id),
             LOG_TEXT("status", !held          ? "dropped"
                                : g->generated ? "generated"
                                               : "error"),
             LOG_TEXT("model", g->model ? g->model : "-"), LOG_INT("calls", g->calls),
             LOG_INT("ms", total_ms(g)));
}

/*
 * PostgreSQL does not take the result: once more without the text of the answer, then without the
 * call. What it refuses even so is a bug of ours: the job is kept, so that nobody pays for it again
 * before a person has looked, and /readyz is red.
 */
static void finish_refused(struct generation *g, const struct err *why)
{
    const char *before = word_enter(g->lesson_id);

    g->refusals++;
    log_error(g->log_id, g->refusals == STUCK ? "generation stuck" : "result not stored",
              LOG_TEXT("lesson", g->lesson_id), LOG_TEXT("error", why->text));
    if (g->refusals == STUCK) {
        stuck++;
    } else {
        if (g->call != NULL)
            call_refuse(g->call);
        give_up(g, "the result could not be stored");
    }
    word_leave(before);
}

static void finish_stored(void *arg, bool held, const struct err *refused)
{
    struct generation *g = arg;

    g->writes--;
    if (refused != NULL) {
        finish_refused(g, refused);
        return;
    }
    log_end(g, held);
    destroy(g);
}

static void finish(struct generation *g, struct store_write *w, const struct job_result *r)
{
    struct job_progress p = progress(g, w->arena, g->call != NULL && g->refusals < STUCK - 1);

    job_finish(&w->call, w->arena, context.me, &(struct job_name){g->lesson_id, g->trace_id}, &p,
               r);
    add_write(g, w, finish_stored);
    g->generated = r->generated;
}

static void give_up(struct generation *g, const char *reason)
{
    struct store_write *w = store_write_create();
    struct job_result r = {.duration_ms = total_ms(g)};

    decisions_add(g->decisions, "give_up", NULL, reason, LLM_UNKNOWN);
    r.error_message = g->summary->len
                          ? arena_printf(w->arena, "%s: %s", reason, buf_text(g->summary))
                          : arena_strdup(w->arena, reason);
    finish(g, w, &r);
}

static const char *response_data(struct generation *g, struct arena *a, const char *title,
                                 const char *content)
{
    struct buf *b = buf_create(a, RESPONSE_MAX);
    struct json_out o = {b, false};

    json_begin(&o, NULL, '{');
    if (!config_bool("TRACE_CONTENT"))
        json_put_bool(&o, "content_kept", false);
    else
        json_put_text(&o, "title", title);
    json_put_int(&o, "estimatedSections", markdown_sections(content));
    json_put_text(&o, "gradeLevel", g->options.grade_level);
    if (config_bool("TRACE_CONTENT")) {
        markdown_put_list(&o, "keyConcepts", content, "concept");
        markdown_put_list(&o, "prerequisites", content, "prerequisite");
    }
    json_end(&o, '}');
    return buf_text(b);
}

static void succeed(struct generation *g)
{
    struct store_write *w = store_write_create();
    struct job_result r = {.generated = true, .duration_ms = total_ms(g)};
    const char *content;
    size_t replaced;

    content = call_content(g->call, &r.content_len, &replaced);
    r.content = arena_memdup(w->arena, content, r.content_len);
    r.title = markdown_title(w->arena, r.content);
    r.response_data = response_data(g, w->arena, r.title, r.content);
    r.provider_used = endpoint_of(g)->name;
    finish(g, w, &r);
}

/* ---- a call ---- */

static void add_count(int64_t *sum, int64_t n)
{
    if (n >= 0)
        *sum = (*sum < 0 ? 0 : *sum) + n;
}

/* What the call adds to the trace's totals; a failed one may have cost money, too. */
static void add_totals(struct generation *g)
{
    const struct llm_answer *w = &g->call->answer;

    add_count(&g->prompt_tokens, w->prompt_tokens);
    add_count(&g->completion_tokens, w->completion_tokens);
    add_count(&g->total_tokens, w->total_tokens);
    if (!isnan(g->call->cost_usd))
        g->cost_usd = (isnan(g->cost_usd) ? 0 : g->cost_usd) + g->call->cost_usd;
    if (w->failure == LLM_NONE)
        return;
    g->failure = w->failure;
    g->last_error = arena_strdup(g->arena, call_error(g->call));
    buf_printf(g->summary, "%s%s: %s", g->summary->len ? "; " : "", g->call->endpoint->name,
               llm_failure_name(w->failure));
    if (g->call->status >= 400)
        buf_printf(g->summary, " (HTTP %ld)", g->call->status);
}

/* A model that the request named says nothing about the provider. */
static bool is_asked_model(const struct generation *g)
{
    return g->place == 0 && g->asked_model != NULL;
}

static void note_breaker(struct generation *g)
{
    const struct call *c = g->call;
    const struct retry_rule *rule = retry_rule(c->answer.failure, c->status);
    bool failed = c->answer.failure != LLM_NONE && rule->counts;
    struct breaker *b = breaker_of(g);
    int64_t now = loop_now();
    bool opens = breaker_note(b, now, failed && !is_asked_model(g), c->probe);
    int64_t hold = rule->hold_ms;

    if (c->answer.failure == LLM_RATE_LIMITED && c->retry_after_ms > RETRY_PATIENCE_MS)
        hold = c->retry_after_ms < BREAKER_OPEN_MAX_MS ? c->retry_after_ms : BREAKER_OPEN_MAX_MS;
    if (c->answer.failure == LLM_NONE && c->probe)
        context.breaker_closed(g->plan[g->place]);
    else if (hold > 0 && !is_asked_model(g)) {
        breaker_hold(b, now + hold);
        context.breaker_opened(g->plan[g->place], hold, c->answer.failure);
    } else if (opens) {
        breaker_hold(b, now + BREAKER_OPEN_MS);
        context.breaker_opened(g->plan[g->place], 0, c->answer.failure);
    }
}

static bool other_ready(const struct generation *g)
{
    for (int i = g->place + 1; i < g->plan_length; i++)
        if (context.endpoints[g->plan[i]].configured && breaker_allows(&breakers[g->plan[i]]))
            return true;
    return false;
}

static void try_again(void *arg);

static void failed(struct generation *g)
{
    struct call *c = g->call;
    const struct retry_state state = {
        .failure = c->answer.failure,
        .status = c->status,
        .retry_after_ms = c->retry_after_ms,
        .tries = g->tries,
        .calls = g->spent,
        .calls_max = (int)config_int("ATTEMPTS_MAX"),
        .left_ms = left_ms(g),
        .other_ready = other_ready(g),
        .jitter = 0.8 + 0.4 * drand48(),
    };
    struct retry_decision d = retry_decide(&state);
    bool keep = breaker_allows(breaker_of(g)) || !state.other_ready;
    const char *reason = llm_failure_name(c->answer.failure);

    log_warn(g->log_id, "call failed", LOG_TEXT("lesson", g->lesson_id),
             LOG_TEXT("provider", c->endpoint->name), LOG_TEXT("class", reason),
             LOG_INT("status", c->status), LOG_TEXT("error", c->answer.own_error));
    if (left_ms(g) <= 0)
        give_up(g, "the deadline of the generation passed");
    else if (g->spent >= state.calls_max)
        give_up(g, "the limit of calls for one generation is reached");
    else if (d.action == RETRY_SAME && keep) {
        decisions_add(g->decisions, "wait", c->endpoint->name, reason, d.wait_ms);
        record(g, result_stored);
        loop_timer_set(&g->timer, d.wait_ms);
    } else {
        g->place++;
        g->tries = 0;
        next_provider(g, reason);
    }
}

static void call_ended(struct call *c)
{
    struct generation *g = c->arg;

    add_totals(g);
    note_breaker(g);
    if (c->answer.failure == LLM_NONE)
        succeed(g);
    else
        failed(g);
}

/* The intent is stored: now the first byte may go. No call without its intent. */
static void intent_stored(void *arg, bool held, const struct err *refused)
{
    struct generation *g = arg;
    int64_t timeout = endpoint_of(g)->attempt_timeout_ms;
    const char *before;

    g->writes--;
    if (!held && refused == NULL) {
        lost(g, "lease or lesson gone");
        return;
    }
    if (timeout > left_ms(g))
        timeout = left_ms(g) > 1 ? left_ms(g) : 1;
    before = word_enter(g->lesson_id);
    if (refused != NULL) {
        call_refuse(g->call);
        give_up(g, "the call could not be recorded");
    } else {
        call_start(g->call, timeout, context.prices, g->lesson_id, call_ended, g);
    }
    word_leave(before);
}

static void start_call(struct generation *g, const char *action, const char *reason)
{
    const char *model = is_asked_model(g) ? g->asked_model : NULL;

    call_destroy(g->call);
    g->tries++;
    g->calls++;
    g->spent++;
    g->call = call_create(endpoint_of(g), model, &g->prompt, g->calls);
    g->call->probe = breaker_take(breaker_of(g));
    g->model = arena_strdup(g->arena, g->call->model);
    decisions_add(g->decisions, action, endpoint_of(g)->name, reason, LLM_UNKNOWN);
    record(g, intent_stored);
}

static void try_again(void *arg)
{
    struct generation *g = arg;
    const char *before = word_enter(g->lesson_id);

    start_call(g, "retry", llm_failure_name(g->failure));
    word_leave(before);
}

/* ---- which provider ---- */

/* With every configured provider of the rest open, the breakers say nothing, and are ignored. */
static bool all_open(const struct generation *g)
{
    for (int i = g->place; i < g->plan_length; i++)
        if (context.endpoints[g->plan[i]].configured && breaker_allows(&breakers[g->plan[i]]))
            return false;
    return true;
}

/* Why the provider in place cannot be called; NULL if it can. */
static const char *skip_reason(const struct generation *g, bool ignore_breakers)
{
    if (!endpoint_of(g)->configured)
        return "not configured";
    return ignore_breakers || breaker_allows(breaker_of(g)) ? NULL : "breaker open";
}

/* Go on at the place, past those that cannot be called. reason: why the one before is left; or
 * NULL. */
static void next_provider(struct generation *g, const char *reason)
{
    bool ignore = all_open(g);
    const char *skip;

    /* The result of the call before goes with what follows from it. */
    for (; g->place < g->plan_length; g->place++) {
        if ((skip = skip_reason(g, ignore)) == NULL)
            break;
        decisions_add(g->decisions, "skip", endpoint_of(g)->name, skip, LLM_UNKNOWN);
    }
    if (g->place == g->plan_length) {
        give_up(g, g->calls > 0          ? "every provider failed"
                   : g->plan_length == 0 ? "no provider configured: set a key, or LLM_PROVIDERS"
                                         : "no provider of the chain is configured: set a key, or "
                                           "LLM_PROVIDERS");
        return;
    }
    if (g->call != NULL) {
        record(g, result_stored);
    }
    start_call(g, g->call != NULL ? "fallback" : "try", reason);
}

static bool in_plan(const struct generation *g, size_t endpoint)
{
    for (int i = 0; i < g->plan_length; i++)
        if (g->plan[i] == endpoint)
            return true;
    return false;
}

/* The provider that the request asks for, then the chain. */
static void make_plan(struct generation *g, const char *asked)
{
    for (size_t i = 0; asked != NULL && i < context.endpoint_count; i++)
        if (strcmp(context.endpoints[i].name, asked) == 0)
            g->plan[g->plan_length++] = i;
    for (size_t i = 0; i < context.chain_length && g->plan_length < PROVIDERS_MAX; i++)
        if (!in_plan(g, context.chain[i]))
            g->plan[g->plan_length++] = context.chain[i];
}

static void begin(const struct job_claimed *job)
{
    struct arena *a = arena_create();
    struct generation *g = arena_alloc(a, sizeof *g);
    struct arena *scratch = arena_create();
    const char *before;
    struct err e;

    *g = (struct generation){
        .arena = a,
        .lesson_id = arena_strdup(a, job->lesson_id),
        .trace_id = arena_strdup(a, job->trace_id),
        .log_id = arena_strdup(a, job->request_id ? job->request_id : "-"),
        .asked_model = job->model ? arena_strdup(a, job->model) : NULL,
        .begin = loop_now(),
        .age_ms = job->age_ms,
        .calls = job->calls,
        .spent = job->spent,
        .timer = {.fire = try_again},
        .decisions = decisions_create(a, job->decisions),
        .summary = buf_create(a, SUMMARY_MAX),
        .prompt_tokens = job->prompt_tokens,
        .completion_tokens = job->completion_tokens,
        .total_tokens = job->total_tokens,
        .cost_usd = job->cost_usd ? strtod(job->cost_usd, NULL) : NAN,
    };
    g->timer.arg = g;
    if (job->failures != NULL)
        buf_puts(g->summary, job->failures);
    g->deadline = g->begin + config_int("GENERATION_TIMEOUT_SECONDS") * 1000;
    add(g);
    before = word_enter(g->lesson_id);
    prompt_read_options(json_parse(scratch, job->options, strlen(job->options), &e), &g->options);
    g->options.grade_level = arena_strdup(a, g->options.grade_level);
    prompt_build(a, job->outline, &g->options, &g->prompt);
    arena_destroy(scratch);
    make_plan(g, job->provider);
    if (job->deaths >= JOB_DEATHS_MAX)
        give_up(g, "its code ended three processes: it is not tried again");
    else
        next_provider(g, NULL);
    word_leave(before);
}

/*
 * After a stall beyond its lease, a process may be given back the job that it never ceased to work
 * on, or a later one of the same lesson.
 */
void generate_start(const struct job_claimed *job)
{
    struct generation *g = find(job->lesson_id);

    if (g != NULL && strcmp(g->trace_id, job->trace_id) == 0) {
        log_info(g->log_id, "held again", LOG_TEXT("lesson", g->lesson_id));
        return;
    }
    if (g != NULL)
        lost(g, "the lesson is generated anew");
    begin(job);
}

/* ---- from outside ---- */

void generate_cancel(const char *lesson_id)
{
    struct generation *g = find(lesson_id);

    if (g != NULL)
        lost(g, "the lesson was deleted");
}

static void release(struct generation *g)
{
    struct store_write *w;

    loop_timer_stop(&g->timer);
    forget_writes(g);
    if (g->call != NULL && !g->call->ended) {
        call_stop(g->call, LLM_CANCELLED,
                  g->call->easy != NULL ? "the service was stopped during this call"
                                        : "the service was stopped before this call was sent");
        g->failure = LLM_CANCELLED;
        g->last_error = arena_strdup(g->arena, call_error(g->call));
        decisions_add(g->decisions, "retry", g->call->endpoint->name, "the service was stopped",
                      LLM_UNKNOWN);
        record(g, NULL);
    }
    w = store_write_create();
    job_release(&w->call, w->arena, context.me, &(struct job_name){g->lesson_id, g->trace_id});
    store_add(w);
    destroy(g);
}

void generate_release_all(void)
{
    for (struct generation *g = first, *next; g != NULL; g = next) {
        next = g->next;
        if (g->refusals < STUCK)
            release(g);
    }
}

static struct breaker *find_breaker(const char *provider)
{
    for (size_t i = 0; i < context.endpoint_count; i++)
        if (strcmp(context.endpoints[i].name, provider) == 0)
            return &breakers[i];
    return NULL;
}

void generate_apply_breaker(const char *provider, bool closed, int64_t ms)
{
    struct breaker *b = find_breaker(provider);

    if (b != NULL)
        breaker_apply(b, loop_now(), closed, ms);
}

void generate_probe_breaker(const char *provider)
{
    struct breaker *b = find_breaker(provider);

    if (b != NULL)
        breaker_probe(b);
}
