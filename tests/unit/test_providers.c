/* Endpoints, chain and base URLs: what the settings and providers.json make of each other. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fcgi/lessons/generator/llm/llm.h"
#include "fcgi/lessons/generator/llm/url.h"
#include "tests/unit/suites.h"

enum { ENDPOINTS_MAX = 16, SETTINGS_MAX = 5 };

static const char *const settings[] = {
    "ANTHROPIC_API_KEY",   "ANTHROPIC_BASE_URL",
    "ANTHROPIC_MODEL",     "ATTEMPT_TIMEOUT_SECONDS",
    "DASHSCOPE_API_KEY",   "DEFAULT_LLM_PROVIDER",
    "GEMINI_API_KEY",      "GEMINI_BASE_URL",
    "GEMINI_MODEL",        "GOOGLE_API_KEY",
    "GROQ_API_KEY",        "GROQ_BASE_URL",
    "GROQ_MODEL",          "HF_TOKEN",
    "HUGGINGFACE_API_KEY", "HUGGINGFACE_BASE_URL",
    "HUGGINGFACE_MODEL",   "LLM_MAX_TOKENS",
    "LLM_PROVIDERS",       "LLM_TEMPERATURE",
    "OLLAMA_HOST",         "OLLAMA_MODEL",
    "OLLAMA_URL",          "OPENAI_API_KEY",
    "OPENAI_BASE_URL",     "OPENAI_MODEL",
    "PROVIDERS_FILE",      "QWEN_BASE_URL",
    "QWEN_MODEL",          "SAMPLE_BASE_URL",
    "SAMPLE_MODEL",
};

static struct arena *a;
static struct llm_endpoint *endpoints;
static size_t count;
static struct err e;

static void unset_all(void)
{
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        unsetenv(settings[i]);
    setenv("PROVIDERS_FILE", "fcgi/lessons/generator/llm/providers.json", 1);
}

static void setup(void)
{
    unset_all();
    a = arena_create();
}

static void teardown(void)
{
    unset_all();
    arena_destroy(a);
}

/* With just these settings, "NAME=value" each. */
static bool load_with(const char *const env[])
{
    unset_all();
    for (size_t i = 0; i < SETTINGS_MAX && env[i] != NULL; i++)
        putenv(arena_strdup(a, env[i]));
    e = (struct err){0};
    endpoints = llm_endpoints_load(a, &count, &e);
    return endpoints != NULL;
}

static const struct llm_endpoint *endpoint(const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(endpoints[i].name, name) == 0)
            return &endpoints[i];
    ck_abort_msg("%s: no endpoint", name);
}

/* ---- endpoints ---- */

START_TEST(loads_what_is_in_the_tree)
{
    static const struct {
        const char *name, *model, *max_tokens_name;
        long timeout_ms;
    } rows[] = {
        {"gemini", "gemini-3.5-flash-lite", "maxOutputTokens", 180000},
        {"groq", "openai/gpt-oss-20b", "max_completion_tokens", 180000},
        {"qwen", "qwen-plus", "max_tokens", 180000},
        {"huggingface", "openai/gpt-oss-120b", "max_tokens", 180000},
        {"ollama", "gemma4", "num_predict", 300000},
        {"openai", "gpt-6-luna", "max_completion_tokens", 180000},
        {"anthropic", "claude-haiku-5-5", "max_tokens", 180000},
        {"sample", "sample", "max_tokens", 180000},
    };

    ck_assert_msg(load_with((const char *[]){NULL}), "%s", e.text);
    ck_assert_uint_eq(count, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < count; i++) {
        ck_assert_str_eq(endpoints[i].name, rows[i].name);
        ck_assert_ptr_eq(endpoints[i].provider, llm_providers[i]);
        ck_assert_str_eq(endpoints[i].model, rows[i].model);
        ck_assert_str_eq(endpoints[i].max_tokens_name, rows[i].max_tokens_name);
        ck_assert_int_eq(endpoints[i].attempt_timeout_ms, rows[i].timeout_ms);
        ck_assert_int_eq(endpoints[i].max_tokens, 8192);
        ck_assert(isnan(endpoints[i].temperature));
        ck_assert(!endpoints[i].configured);
        ck_assert_ptr_null(endpoints[i].key);
    }
    ck_assert_str_eq(endpoint("sample")->base_url, "");
    ck_assert_str_eq(endpoint("ollama")->options, "\"num_ctx\":16384");
    ck_assert_str_eq(endpoint("openai")->extra, "");
}
END_TEST

START_TEST(is_configured_by_key_or_base_url)
{
    static const struct {
        const char *env, *provider, *key;
    } rows[] = {
        {"OPENAI_API_KEY=k", "openai", "k"},
        {"OPENAI_BASE_URL=http://127.0.0.1:8000/v1", "openai", NULL},
        {"ANTHROPIC_API_KEY=k", "anthropic", "k"},
        {"ANTHROPIC_BASE_URL=http://127.0.0.1:8000", "anthropic", NULL},
        {"GROQ_API_KEY=k", "groq", "k"},
        {"GEMINI_API_KEY=k", "gemini", "k"},
        {"GOOGLE_API_KEY=k", "gemini", "k"},
        {"HF_TOKEN=k", "huggingface", "k"},
        {"HUGGINGFACE_API_KEY=k", "huggingface", "k"},
        {"DASHSCOPE_API_KEY=k", "qwen", "k"},
        {"OLLAMA_HOST=127.0.0.1", "ollama", NULL},
        {"OLLAMA_URL=http://127.0.0.1:11434", "ollama", NULL},
        {"SAMPLE_BASE_URL=http://127.0.0.1:8080/sample/v1", "sample", NULL},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(load_with((const char *[]){rows[i].env, NULL}), "%s", e.text);
        for (size_t n = 0; n < count; n++)
            ck_assert_msg(endpoints[n].configured ==
                              (strcmp(endpoints[n].name, rows[i].provider) == 0),
                          "%s: %s", rows[i].env, endpoints[n].name);
        ck_assert_pstr_eq(endpoint(rows[i].provider)->key, rows[i].key);
    }
}
END_TEST

START_TEST(only_a_setting_allows_a_private_host)
{
    ck_assert(load_with((const char *[]){"OPENAI_API_KEY=k", "GROQ_BASE_URL=http://10.0.0.1/v1",
                                         "OLLAMA_HOST=127.0.0.1", NULL}));
    for (size_t n = 0; n < count; n++)
        ck_assert_msg(endpoints[n].private_allowed == (strcmp(endpoints[n].name, "groq") == 0 ||
                                                       strcmp(endpoints[n].name, "ollama") == 0),
                      "%s", endpoints[n].name);
}
END_TEST

START_TEST(takes_the_first_key_that_is_set)
{
    ck_assert(load_with((const char *[]){"GOOGLE_API_KEY=second", "GEMINI_API_KEY=first",
                                         "HUGGINGFACE_API_KEY=second", "HF_TOKEN=", NULL}));
    ck_assert_str_eq(endpoint("gemini")->key, "first");
    ck_assert_str_eq(endpoint("huggingface")->key, "second");
}
END_TEST

START_TEST(is_overridden_by_settings)
{
    ck_assert_msg(load_with((const char *[]){"QWEN_MODEL=qwen3-max", "LLM_MAX_TOKENS=100",
                                             "LLM_TEMPERATURE=0.7", "ATTEMPT_TIMEOUT_SECONDS=9",
                                             "QWEN_BASE_URL=https://dashscope.example/v1///"}),
                  "%s", e.text);
    ck_assert_str_eq(endpoint("qwen")->model, "qwen3-max");
    ck_assert_str_eq(endpoint("qwen")->base_url, "https://dashscope.example/v1");
    ck_assert_int_eq(endpoint("groq")->max_tokens, 100);
    ck_assert(fabs(endpoint("groq")->temperature - 0.7) < 1e-9);
    ck_assert_int_eq(endpoint("groq")->attempt_timeout_ms, 9000);
    ck_assert_int_eq(endpoint("ollama")->attempt_timeout_ms, 300000);
}
END_TEST

START_TEST(sends_openai_like_providers_to_the_sample)
{
    static const char *const speakers[] = {"OPENAI", "GROQ", "HUGGINGFACE", "QWEN"};
    static const char *const others[] = {"ANTHROPIC_BASE_URL", "GEMINI_BASE_URL", "OLLAMA_HOST",
                                         "OLLAMA_URL"};

    for (size_t i = 0; i < 4; i++) {
        const char *env = arena_printf(a, "%s_BASE_URL=sample", speakers[i]);

        ck_assert(!load_with((const char *[]){env, NULL}));
        ck_assert_ptr_nonnull(strstr(e.text, "SAMPLE_BASE_URL"));
        ck_assert(load_with((const char *[]){env, "SAMPLE_BASE_URL=http://127.0.0.1:1/v1/", NULL}));
        for (size_t n = 0; n < count; n++)
            if (strncasecmp(endpoints[n].name, speakers[i], strlen(speakers[i])) == 0) {
                ck_assert_str_eq(endpoints[n].base_url, "http://127.0.0.1:1/v1");
                ck_assert(endpoints[n].configured);
            }
        env = arena_printf(a, "%s=sample", others[i]);
        ck_assert(!load_with((const char *[]){env, "SAMPLE_BASE_URL=http://127.0.0.1:1/v1", NULL}));
        ck_assert(strncmp(e.text, others[i], strlen(others[i])) == 0);
        ck_assert_ptr_nonnull(strstr(e.text, "OPENAI_BASE_URL=sample"));
        ck_assert_int_eq(e.kind, ERR_INPUT);
    }
}
END_TEST

START_TEST(refuses_settings_by_name)
{
    static const char *const rows[][2] = {
        {"OPENAI_BASE_URL=api.openai.com/v1", "OPENAI_BASE_URL"},
        {"OPENAI_BASE_URL=ftp://host/v1", "OPENAI_BASE_URL"},
        {"ANTHROPIC_BASE_URL=https://", "ANTHROPIC_BASE_URL"},
        {"GEMINI_BASE_URL=https:///v1", "GEMINI_BASE_URL"},
        {"GROQ_BASE_URL=https://host:99999", "GROQ_BASE_URL"},
        {"QWEN_BASE_URL=https://user:secret@host/v1", "QWEN_BASE_URL"},
        {"SAMPLE_BASE_URL=sample", "SAMPLE_BASE_URL"},
        {"OLLAMA_HOST=host:port", "OLLAMA_HOST"},
        {"OLLAMA_URL=not a host", "OLLAMA_URL"},
        {"LLM_TEMPERATURE=warm", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=2.1", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=-0.1", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=nan", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=0x1", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=1 ", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=.", "LLM_TEMPERATURE"},
        {"LLM_TEMPERATURE=1.0.0", "LLM_TEMPERATURE"},
        {"PROVIDERS_FILE=/nonexistent/providers.json", "/nonexistent/providers.json"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert_msg(!load_with((const char *[]){rows[i][0], NULL}), "%s", rows[i][0]);
        ck_assert_msg(strncmp(e.text, rows[i][1], strlen(rows[i][1])) == 0, "%s", e.text);
        ck_assert_msg(strstr(e.text, "secret") == NULL, "%s", e.text);
        ck_assert_int_eq(e.kind, ERR_INPUT);
    }
}
END_TEST

START_TEST(takes_temperatures_from_0_to_2)
{
    static const char *const rows[] = {"0", "2", "2.0", "0.70", ".5", "1."};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ck_assert(
            load_with((const char *[]){arena_printf(a, "LLM_TEMPERATURE=%s", rows[i]), NULL}));
        ck_assert(fabs(endpoint("openai")->temperature - strtod(rows[i], NULL)) < 1e-9);
    }
}
END_TEST

/* A file of the seven as they are, with openai as given. */
static const char *providers_file(const char *openai)
{
    static const char others[] =
        "{\"gemini\":{B},\"groq\":{B},\"qwen\":{B},\"huggingface\":{B},\"ollama\":{B},"
        "\"anthropic\":{B},\"sample\":{\"model\":\"m\",\"max_tokens_name\":\"n\"}";
    char *path = arena_strdup(a, "/tmp/test_providers.XXXXXX");
    FILE *f = fdopen(mkstemp(path), "w");

    for (const char *p = others; *p; p++)
        if (*p == 'B')
            fputs("\"base_url\":\"http://h\",\"model\":\"m\",\"max_tokens_name\":\"n\"", f);
        else
            fputc(*p, f);
    fprintf(f, "%s}", openai);
    fclose(f);
    return path;
}

START_TEST(reads_a_providers_file)
{
    const char *path = providers_file(",\"openai\":{\"base_url\":\"https://h:8443/a/b/"
                                      "\",\"model\":\"m\",\"max_tokens_name\":\"n\","
                                      "\"attempt_timeout_seconds\":7,\"extra\":{\"reasoning_"
                                      "effort\":\"low\",\"a\":[{\"b\":1.5}]},"
                                      "\"options\":{}}");

    ck_assert_msg(load_with((const char *[]){arena_printf(a, "PROVIDERS_FILE=%s", path), NULL}),
                  "%s", e.text);
    ck_assert_str_eq(endpoint("openai")->base_url, "https://h:8443/a/b");
    ck_assert_str_eq(endpoint("openai")->extra, "\"reasoning_effort\":\"low\",\"a\":[{\"b\":1.5}]");
    ck_assert_str_eq(endpoint("openai")->options, "");
    ck_assert_int_eq(endpoint("openai")->attempt_timeout_ms, 7000);
    ck_assert(!endpoint("openai")->configured);
    unlink(path);
}
END_TEST

START_TEST(refuses_providers_files_by_member)
{
    static const char *const rows[][2] = {
        {"", "openai: object expected"},
        {",\"openai\":7", "openai: object expected"},
        {",\"openai\":{}", "openai.model"},
        {",\"openai\":{\"model\":\"m\"}", "openai.max_tokens_name"},
        {",\"openai\":{\"model\":\"m\",\"max_tokens_name\":\"n\"}", "openai.base_url"},
        {",\"openai\":{\"model\":\"m\",\"max_tokens_name\":\"n\",\"base_url\":\"h\"}",
         "openai.base_url"},
        {",\"openai\":{\"model\":\"\",\"max_tokens_name\":\"n\",\"base_url\":\"http://h\"}",
         "openai.model"},
        {",\"openai\":{\"model\":\"m\",\"key\":\"k\"}", "openai.key: no such member"},
        {",\"openai\":{\"model\":\"m\",\"max_tokens_name\":\"n\",\"base_url\":\"http://h\","
         "\"attempt_timeout_seconds\":0}",
         "openai.attempt_timeout_seconds"},
        {",\"openai\":{\"model\":\"m\",\"max_tokens_name\":\"n\",\"base_url\":\"http://h\","
         "\"extra\":[]}",
         "openai.extra: object expected"},
        {",\"openAI\":{}", "openAI: no such provider"},
        {",7", "json"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *path = providers_file(rows[i][0]);

        ck_assert(!load_with((const char *[]){arena_printf(a, "PROVIDERS_FILE=%s", path), NULL}));
        ck_assert_msg(strncmp(e.text, path, strlen(path)) == 0, "%s", e.text);
        ck_assert_msg(strstr(e.text, rows[i][1]) != NULL, "%s", e.text);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        unlink(path);
    }
}
END_TEST

/* ---- chain ---- */

/* The names of the chain with a blank between, or the error. */
static const char *chain_with(const char *const env[])
{
    const char *names = "";
    size_t chain[ENDPOINTS_MAX], length;

    ck_assert_msg(load_with(env), "%s", e.text);
    if (!llm_chain_load(endpoints, count, chain, &length, &e)) {
        ck_assert_int_eq(e.kind, ERR_INPUT);
        return e.text;
    }
    for (size_t i = 0; i < length; i++)
        names = arena_printf(a, "%s%s%s", names, i ? " " : "", endpoints[chain[i]].name);
    return names;
}

#define SAMPLE_URL "SAMPLE_BASE_URL=http://127.0.0.1:8080/sample/v1"

START_TEST(orders_the_chain)
{
    static const struct {
        const char *env[SETTINGS_MAX], *chain;
    } rows[] = {
        {{NULL}, ""},
        {{SAMPLE_URL}, "sample"},
        {{SAMPLE_URL, "ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k", "GEMINI_API_KEY=k"},
         "gemini openai anthropic"},
        {{"DASHSCOPE_API_KEY=k", "HF_TOKEN=k", "OLLAMA_HOST=h", "GROQ_API_KEY=k"},
         "groq qwen huggingface ollama"},
        {{"OPENAI_API_KEY=k", "GEMINI_API_KEY=k", "DEFAULT_LLM_PROVIDER=openai"}, "openai gemini"},
        {{"OPENAI_API_KEY=k", SAMPLE_URL, "DEFAULT_LLM_PROVIDER=sample"}, "sample openai"},
        {{"OPENAI_API_KEY=k", "DEFAULT_LLM_PROVIDER=groq"}, "groq openai"},
        {{SAMPLE_URL, "DEFAULT_LLM_PROVIDER=groq"}, "groq sample"},
        {{"LLM_PROVIDERS=openai"}, "openai"},
        {{"LLM_PROVIDERS=sample,openai,gemini"}, "sample openai gemini"},
        {{"LLM_PROVIDERS= ollama ,\tgroq ", "OPENAI_API_KEY=k"}, "ollama groq"},
        {{"LLM_PROVIDERS=groq,openai", "DEFAULT_LLM_PROVIDER=openai"}, "openai groq"},
        {{"LLM_PROVIDERS=groq,openai,qwen", "DEFAULT_LLM_PROVIDER=qwen"}, "qwen groq openai"},
        {{"LLM_PROVIDERS=groq", "DEFAULT_LLM_PROVIDER=qwen"}, "qwen groq"},
        {{"LLM_PROVIDERS=gemini,groq,qwen,huggingface,ollama,openai,anthropic,sample",
          "DEFAULT_LLM_PROVIDER=sample"},
         "sample gemini groq qwen huggingface ollama openai anthropic"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(chain_with(rows[i].env), rows[i].chain);
}
END_TEST

START_TEST(refuses_chains_by_name)
{
    static const char *const rows[][2] = {
        {"LLM_PROVIDERS=openai,chatgpt", "LLM_PROVIDERS: no provider \"chatgpt\", but gemini,"},
        {"LLM_PROVIDERS=OpenAI", "LLM_PROVIDERS: no provider \"OpenAI\""},
        {"LLM_PROVIDERS=openai,", "LLM_PROVIDERS: no provider \"\""},
        {"LLM_PROVIDERS=,openai", "LLM_PROVIDERS: no provider \"\""},
        {"LLM_PROVIDERS= ", "LLM_PROVIDERS: no provider \"\""},
        {"LLM_PROVIDERS=openai gemini", "LLM_PROVIDERS: comma expected at \"gemini\""},
        {"LLM_PROVIDERS=openai,groq,openai", "LLM_PROVIDERS: openai is given twice"},
        {"DEFAULT_LLM_PROVIDER=none", "DEFAULT_LLM_PROVIDER: no provider \"none\""},
        {"DEFAULT_LLM_PROVIDER=openai,groq", "DEFAULT_LLM_PROVIDER: no provider \"openai,groq\""},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *text = chain_with((const char *[]){rows[i][0], NULL});

        ck_assert_msg(strncmp(text, rows[i][1], strlen(rows[i][1])) == 0, "%s", text);
    }
}
END_TEST

/* ---- URLs ---- */

START_TEST(takes_base_urls)
{
    static const char *const rows[][2] = {
        {"http://h", "http://h"},
        {"https://h/", "https://h"},
        {"HTTPS://Host.Example:443//", "HTTPS://Host.Example:443"},
        {"http://127.0.0.1:8080/sample/v1", "http://127.0.0.1:8080/sample/v1"},
        {"http://[::1]:8080/v1/", "http://[::1]:8080/v1"},
        {"http://[fe80::1]", "http://[fe80::1]"},
        {"http://my_host-1.internal:1/a%20b/~c", "http://my_host-1.internal:1/a%20b/~c"},
    };
    static const char *const bad[] = {
        "",
        "h",
        "//h",
        "http:/h",
        "http://",
        "http:///p",
        "http://:80",
        "http://h:",
        "http://h:0",
        "http://h:65536",
        "http://h:x",
        "http://h:1x",
        "http://h:-1",
        "http://u@h",
        "http://u:p@h",
        "http://h?q",
        "http://h/?q",
        "http://h/#f",
        "http://h h",
        "http://h/a b",
        "http://h\n",
        "http://h/\n",
        "http://[::1",
        "http://::1",
        "http://[]",
        "http://[g]",
        "http://[::1]x",
        "http://[::1]:",
        "http://h\"",
        "http://h/\"",
        "ws://h",
        "file:///etc",
        " http://h",
        "http://h ",
        "http://h\\p",
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_pstr_eq(url_base(a, "X", rows[i][0], &e), rows[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e = (struct err){0};
        ck_assert_msg(url_base(a, "SOME_URL", bad[i], &e) == NULL, "%s", bad[i]);
        ck_assert_int_eq(e.kind, ERR_INPUT);
        ck_assert_msg(strncmp(e.text, "SOME_URL: ", 10) == 0, "%s", e.text);
    }
}
END_TEST

START_TEST(takes_hosts_as_ollama_does)
{
    static const char *const rows[][2] = {
        {"h", "http://h:11434"},
        {"h:80", "http://h:80"},
        {":80", "http://127.0.0.1:80"},
        {"h/path/", "http://h:11434/path"},
        {"h:1/path", "http://h:1/path"},
        {"0.0.0.0", "http://127.0.0.1:11434"},
        {"0.0.0.0:8080", "http://127.0.0.1:8080"},
        {"::", "http://[::1]:11434"},
        {"[::]", "http://[::1]:11434"},
        {"[::]:8080", "http://[::1]:8080"},
        {"::1", "http://[::1]:11434"},
        {"[::1]:8080", "http://[::1]:8080"},
        {"http://h", "http://h"},
        {"http://h/", "http://h"},
        {"https://h/base/", "https://h/base"},
        {"http://0.0.0.0:11434", "http://127.0.0.1:11434"},
        {"http://[::]:1", "http://[::1]:1"},
        {"http://:1", "http://127.0.0.1:1"},
    };
    static const char *const bad[] = {"h:x", "h:",  "h:0",     "h:99999",
                                      "h h", "u@h", "ftp://h", "h?x"};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_pstr_eq(url_ollama(a, "X", rows[i][0], &e), rows[i][1]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(url_ollama(a, "X", bad[i], &e) == NULL, "%s", bad[i]);
}
END_TEST

START_TEST(tells_addresses_from_names)
{
    static const char *const addresses[] = {"http://127.0.0.1", "https://127.0.0.1:80/v1/4",
                                            "HTTP://127.1", "http://[::1]:1/", "https://[fe80::1]"};
    static const char *const names[] = {"http://localhost", "https://h:80", "http://1.h/1.1",
                                        "http://127.0.0.1.h", "https://h.127.0.0.1.h:1/"};

    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++)
        ck_assert_msg(url_is_address(addresses[i]), "%s", addresses[i]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        ck_assert_msg(!url_is_address(names[i]), "%s", names[i]);
}
END_TEST

Suite *suite_providers(void)
{
    Suite *s = suite_create("providers");
    TCase *t = tcase_create("all");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, loads_what_is_in_the_tree);
    tcase_add_test(t, is_configured_by_key_or_base_url);
    tcase_add_test(t, only_a_setting_allows_a_private_host);
    tcase_add_test(t, takes_the_first_key_that_is_set);
    tcase_add_test(t, is_overridden_by_settings);
    tcase_add_test(t, sends_openai_like_providers_to_the_sample);
    tcase_add_test(t, refuses_settings_by_name);
    tcase_add_test(t, takes_temperatures_from_0_to_2);
    tcase_add_test(t, reads_a_providers_file);
    tcase_add_test(t, refuses_providers_files_by_member);
    tcase_add_test(t, orders_the_chain);
    tcase_add_test(t, refuses_chains_by_name);
    tcase_add_test(t, takes_base_urls);
    tcase_add_test(t, takes_hosts_as_ollama_does);
    tcase_add_test(t, tells_addresses_from_names);
    suite_add_tcase(s, t);
    return s;
}
