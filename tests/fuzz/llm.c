/*
 * What providers answer, and what becomes of it in the trace and the lesson.
 *
 * Input: a line "PROVIDER STATUS CONTENT-TYPE", then the body.
 * Asserted: a failure has an error of one line, an answer has text and none; counts are such; the
 * trace's record is JSON, storable and without the key; the same holds for the lesson's text.
 *
 * Covers: fcgi/lessons/generator/llm/anthropic.c fcgi/lessons/generator/llm/chat.c
 * fcgi/lessons/generator/llm/gemini.c fcgi/lessons/generator/llm/groq.c
 * fcgi/lessons/generator/llm/huggingface.c fcgi/lessons/generator/llm/llm.c
 * fcgi/lessons/generator/llm/ollama.c fcgi/lessons/generator/llm/openai.c
 * fcgi/lessons/generator/llm/qwen.c fcgi/lessons/generator/llm/sample.c
 * fcgi/lessons/generator/llm/translate.c fcgi/lessons/generator/retry.c
 */
#include "fcgi/lessons/generator/llm/translate.h"

#include <math.h>
#include <string.h>

#include "common/redact.h"
#include "common/utf8.h"
#include "fcgi/lessons/generator/call.h"
#include "fcgi/lessons/generator/retry.h"
#include "tests/fuzz/lib/fuzz.h"

#define KEY "planted-secret-4711"

enum { INPUT_MAX = 65536, WORD_SIZE = 100, DELAY_MAX_MS = 86400000 };

static struct llm_prices *prices;
static struct arena *for_ever;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct err e;

    (void)argc;
    (void)argv;
    redact_secret(KEY);
    for_ever = arena_create();
    setenv("PRICES_FILE", "fcgi/lessons/generator/llm/prices.json", 1);
    prices = llm_prices_load(for_ever, &e);
    must(prices != NULL);
    return 0;
}

static const struct llm_provider *find_provider(struct fuzz_part name)
{
    for (const struct llm_provider *const *p = llm_providers; *p != NULL; p++)
        if (name.len == strlen((*p)->name) && memcmp(name.data, (*p)->name, name.len) == 0)
            return *p;
    return NULL;
}

static bool is_count(int64_t n)
{
    return n >= LLM_UNKNOWN && n <= INT32_MAX;
}

static void check_answer(const struct llm_answer *w)
{
    must(w->failure >= LLM_NONE && w->failure < LLM_FAILURE_COUNT);
    must((w->failure == LLM_NONE) == (w->error == NULL));
    if (w->error != NULL) {
        size_t len = strlen(w->error);

        must(len > 0 && len <= LLM_ERROR_MAX_BYTES && utf8_valid(w->error, len));
        must(!fuzz_contains(w->error, len, KEY));
        for (const char *c = w->error; *c; c++)
            must((unsigned char)*c >= ' ' && *c != 0x7f);
    } else {
        must(w->content != NULL && w->content_len > 0);
    }
    must(is_count(w->prompt_tokens) && is_count(w->completion_tokens) && is_count(w->total_tokens));
    must(is_count(w->cached_tokens) && is_count(w->cache_write_tokens));
    must(is_count(w->reasoning_tokens));
    must(w->retry_after_ms >= LLM_UNKNOWN && w->retry_after_ms <= DELAY_MAX_MS);
}

static void check_retry(const struct call *c)
{
    const struct retry_state s = {
        .failure = c->answer.failure,
        .status = c->status,
        .retry_after_ms = c->answer.retry_after_ms,
        .tries = 1,
        .calls = 1,
        .calls_max = 10,
        .left_ms = 60000,
        .jitter = 1.2,
    };
    struct retry_decision d;

    if (c->answer.failure == LLM_NONE)
        return;
    d = retry_decide(&s);
    must(d.wait_ms >= 0 && d.wait_ms <= RETRY_AFTER_MAX_MS && d.wait_ms < s.left_ms);
}

static void check_record(struct arena *a, struct call *c)
{
    const char *element = call_element(a, c), *content;
    size_t len = strlen(element), replaced;
    struct err e;

    must(json_parse_client(a, element, len, &e) != NULL);
    must(fuzz_storable(element, len) && !fuzz_contains(element, len, KEY));
    content = call_content(c, &len, &replaced);
    must(fuzz_storable(content, len) && !fuzz_contains(content, len, KEY));
    must((replaced == 0) == fuzz_storable(c->answer.content, c->answer.content_len));
}

static void answer(struct arena *a, const struct llm_provider *p, struct llm_response *r)
{
    const struct llm_endpoint endpoint = {
        .provider = p,
        .name = p->name,
        .base_url = "https://provider.test",
        .model = "gpt-5.4-mini",
        .max_tokens_name = "max_tokens",
        .max_tokens = 100,
        .temperature = NAN,
    };
    const struct llm_prompt prompt = {"system", "user"};
    struct call *c = call_create(&endpoint, NULL, &prompt, 1);
    const char *as_of;
    double usd;
    struct err e;

    r->tree = json_parse(a, r->body, r->body_len, &e);
    p->parse(a, r, &c->answer);
    c->ended = true;
    c->status = r->status;
    check_answer(&c->answer);
    check_retry(c);
    if (llm_cost(prices, p->name, c->answer.model ? c->answer.model : c->model, &c->answer, &usd,
                 &as_of))
        must(usd >= 0 && isfinite(usd) && as_of != NULL);
    check_record(a, c);
    call_destroy(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {(const char *)data, size}, line, word;
    const struct llm_provider *p;
    struct llm_response r;
    struct arena *a;

    if (size > INPUT_MAX || !fuzz_line(&rest, &line) || line.len > WORD_SIZE ||
        (p = find_provider(fuzz_until(&line, " "))) == NULL)
        return 0;
    a = arena_create();
    word = fuzz_until(&line, " ");
    r = (struct llm_response){
        .status = strtol(arena_memdup(a, word.data, word.len), NULL, 10) % 1000,
        .content_type = arena_memdup(a, line.data, line.len),
        .body = arena_memdup(a, rest.len ? rest.data : "", rest.len),
        .body_len = rest.len,
    };
    answer(a, p, &r);
    arena_destroy(a);
    return 0;
}
