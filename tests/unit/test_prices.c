/* What a call cost, and when that is not known. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/lessons/generator/llm/llm.h"
#include "tests/unit/suites.h"

static struct arena *a;
static struct err e;

static void setup(void)
{
    setenv("PRICES_FILE", "fcgi/lessons/generator/llm/prices.json", 1);
    a = arena_create();
    e = (struct err){0};
}

static void teardown(void)
{
    setenv("PRICES_FILE", "fcgi/lessons/generator/llm/prices.json", 1);
    arena_destroy(a);
}

/* Prices of a file that holds this text. */
static struct llm_prices *load(const char *text)
{
    char *variable = arena_strdup(a, "PRICES_FILE=/tmp/test_prices.XXXXXX");
    char *path = strchr(variable, '/');
    FILE *f = fdopen(mkstemp(path), "w");
    struct llm_prices *prices;

    fputs(text, f);
    fclose(f);
    putenv(variable);
    prices = llm_prices_load(a, &e);
    unlink(path);
    return prices;
}

static struct llm_answer answer_of(int64_t prompt, int64_t completion, int64_t cached,
                                   int64_t cache_write)
{
    struct llm_answer answer;

    llm_answer_init(&answer);
    answer.prompt_tokens = prompt;
    answer.completion_tokens = completion;
    answer.cached_tokens = cached;
    answer.cache_write_tokens = cache_write;
    return answer;
}

/* In USD; NaN: not known. */
static double cost(const struct llm_prices *prices, const char *provider, const char *model,
                   struct llm_answer answer)
{
    const char *as_of = NULL;
    double usd;

    if (!llm_cost(prices, provider, model, &answer, &usd, &as_of))
        return NAN;
    ck_assert_str_eq(as_of, "2026-11-23");
    return usd;
}

#define ck_cost(expected, ...) ck_assert_double_eq_tol(cost(__VA_ARGS__), expected, 1e-12)
#define ck_no_cost(...) ck_assert(isnan(cost(__VA_ARGS__)))

START_TEST(knows_the_prices_of_the_tree)
{
    struct llm_prices *p = llm_prices_load(a, &e);
    struct llm_answer million = answer_of(1000000, 1000000, LLM_UNKNOWN, LLM_UNKNOWN);

    ck_assert_msg(p != NULL, "%s", e.text);
    ck_cost(0.60, p, "openai", "gpt-6-luna", million);
    ck_cost(0.60, p, "openai", "gpt-6-luna-2026-07-14", million);
    ck_cost(0.60, p, "anthropic", "claude-haiku-5-5", million);
    ck_cost(6.00, p, "anthropic", "claude-haiku-4-5-20251001", million);
    ck_cost(0.375, p, "groq", "openai/gpt-oss-20b", million);
    ck_cost(0.75, p, "groq", "openai/gpt-oss-120b", million);
    ck_cost(2.80, p, "gemini", "gemini-3.5-flash-lite", million);
    ck_cost(2.80, p, "gemini", "gemini-3.5-flash-lite-preview-09-2026", million);
    ck_no_cost(p, "openai", "gpt-6-luna-pro", million);
    ck_no_cost(p, "openai", "gpt-4o", million);
    ck_no_cost(p, "openai", "openai/gpt-oss-20b", million);
    ck_no_cost(p, "huggingface", "openai/gpt-oss-120b", million);
    ck_no_cost(p, "qwen", "qwen-plus", million);
    ck_no_cost(p, "openai", "", million);
    ck_no_cost(p, "openai", NULL, million);
}
END_TEST

START_TEST(is_free_at_home_even_with_unknown_tokens)
{
    struct llm_prices *p = llm_prices_load(a, &e);
    struct llm_answer unknown = answer_of(LLM_UNKNOWN, 3, LLM_UNKNOWN, LLM_UNKNOWN);

    ck_cost(0, p, "ollama", "gemma4:12b", unknown);
    ck_cost(0, p, "sample", "fail-429", unknown);
    ck_cost(0, p, "sample", "", unknown);
}
END_TEST

START_TEST(counts_cached_tokens_once)
{
    struct llm_prices *p = llm_prices_load(a, &e);

    ck_cost(600 * 0.1e-6 + 400 * 0.01e-6 + 50 * 0.5e-6, p, "openai", "gpt-6-luna",
            answer_of(1000, 50, 400, 0));
    ck_cost(500 * 1e-6 + 400 * 0.1e-6 + 100 * 1.25e-6 + 50 * 5e-6, p, "anthropic",
            "claude-haiku-4-5", answer_of(1000, 50, 400, 100));
    ck_cost(0, p, "openai", "gpt-6-luna", answer_of(0, 0, 0, 0));
}
END_TEST

START_TEST(does_not_guess)
{
    struct llm_prices *p = llm_prices_load(a, &e);

    ck_no_cost(p, "openai", "gpt-6-luna", answer_of(LLM_UNKNOWN, 50, LLM_UNKNOWN, LLM_UNKNOWN));
    ck_no_cost(p, "openai", "gpt-6-luna", answer_of(50, LLM_UNKNOWN, LLM_UNKNOWN, LLM_UNKNOWN));
    /* no price for what was cached */
    ck_no_cost(p, "anthropic", "claude-haiku-5-5", answer_of(1000, 50, 400, 0));
    ck_no_cost(p, "anthropic", "claude-haiku-5-5", answer_of(1000, 50, 0, 400));
    ck_no_cost(p, "groq", "openai/gpt-oss-20b", answer_of(1000, 50, 0, 400));
    /* more of it than there was */
    ck_no_cost(p, "openai", "gpt-6-luna", answer_of(1000, 50, 1001, 0));
}
END_TEST

#define FILE_WITH(rows) "{\"as_of\":\"2026-11-23\",\"currency\":\"USD\",\"prices\":[" rows "]}"
#define ROW(model, more)                                                                           \
    "{\"provider\":\"openai\",\"model\":\"" model "\",\"input_per_mtok\":1,"                       \
    "\"output_per_mtok\":2,\"source\":\"s\"" more "}"

START_TEST(takes_the_first_row_of_today)
{
    struct llm_prices *p = load(FILE_WITH(ROW("gone", ",\"until\":\"2020-01-01\"") "," ROW(
        "later",
        ",\"from\":\"9999-"
        "12-31\"") "," ROW("m",
                           ",\"until\":\"2020-01-01\"") "," ROW("m",
                                                                ",\"from\":\"2020-01-01\","
                                                                "\"until\":\"9999-12-"
                                                                "31\"") ",{\"provider\":\"openai\","
                                                                        "\"model\":\"*"
                                                                        "\",\"input_per_mtok\":7,"
                                                                        "\"output_per_"
                                                                        "mtok\":7,\"source\":"
                                                                        "\"s\"}"));
    struct llm_answer one = answer_of(1000000, 0, LLM_UNKNOWN, LLM_UNKNOWN);

    ck_assert_msg(p != NULL, "%s", e.text);
    ck_cost(1, p, "openai", "m", one);
    ck_cost(7, p, "openai", "gone", one);
    ck_cost(7, p, "openai", "later", one);
    ck_no_cost(p, "groq", "m", one);
}
END_TEST

START_TEST(refuses_files_by_member)
{
    static const char *const rows[][2] = {
        {"", "json"},
        {"{}", "as_of"},
        {"{\"as_of\":\"2026-11-23\",\"currency\":\"EUR\",\"prices\":[]}", "currency"},
        {"{\"as_of\":\"yesterday\",\"currency\":\"USD\",\"prices\":[]}", "as_of"},
        {"{\"as_of\":\"2026-11-2\",\"currency\":\"USD\",\"prices\":[]}", "as_of"},
        {"{\"as_of\":\"2026-11-23\",\"currency\":\"USD\",\"prices\":{}}", "prices"},
        {FILE_WITH("7"), "prices[0]"},
        {FILE_WITH(ROW("m", "") ",{}"), "prices[1].provider"},
        {FILE_WITH(ROW("m", ",\"provider\":\"chatgpt\"")), "prices[0].provider"},
        {FILE_WITH(ROW("m", ",\"model\":7")), "prices[0].model"},
        {FILE_WITH(ROW("m", ",\"source\":null")), "prices[0].source"},
        {FILE_WITH(ROW("m", ",\"input_per_mtok\":null")), "prices[0].input_per_mtok"},
        {FILE_WITH(ROW("m", ",\"output_per_mtok\":\"2\"")), "prices[0].output_per_mtok"},
        {FILE_WITH(ROW("m", ",\"output_per_mtok\":-2")), "prices[0].output_per_mtok"},
        {FILE_WITH(ROW("m", ",\"cached_input_per_mtok\":[]")), "prices[0].cached_input_per_mtok"},
        {FILE_WITH(ROW("m", ",\"cache_write_per_mtok\":NaN")), "prices[0].cache_write_per_mtok"},
        {FILE_WITH(ROW("m", ",\"until\":\"soon\"")), "prices[0].until"},
        {FILE_WITH(ROW("m", ",\"from\":20270101")), "prices[0].from"},
        {FILE_WITH(ROW("m", ",\"cached\":1")), "prices[0].cached"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        e = (struct err){0};
        ck_assert_msg(load(rows[i][0]) == NULL, "%s", rows[i][0]);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strncmp(e.text, "/tmp/test_prices.", 17) == 0, "%s", e.text);
        ck_assert_msg(strstr(e.text, rows[i][1]) != NULL, "%s", e.text);
    }
    putenv(arena_strdup(a, "PRICES_FILE=/nonexistent/prices.json"));
    ck_assert_ptr_null(llm_prices_load(a, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "/nonexistent/prices.json"));
}
END_TEST

Suite *suite_prices(void)
{
    Suite *s = suite_create("prices");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, knows_the_prices_of_the_tree);
    tcase_add_test(t, is_free_at_home_even_with_unknown_tokens);
    tcase_add_test(t, counts_cached_tokens_once);
    tcase_add_test(t, does_not_guess);
    tcase_add_test(t, takes_the_first_row_of_today);
    tcase_add_test(t, refuses_files_by_member);
    suite_add_tcase(s, t);
    return s;
}
