/*
 * What an operator sets: the environment, providers.json, prices.json.
 *
 * Input: settings, one NAME=value a line, an empty line, providers.json, a line "---", prices.json;
 * CREDENTIALS_DIRECTORY= gives the one credential that is in ours;
 * a file that is left out is the product's own, of which the prices are not read each time.
 * Asserted: what is wrong is named; what is taken is within its limits, and makes requests that are
 * well-formed; a secret reaches redaction before all else.
 *
 * Covers: common/config.c fcgi/lessons/generator/llm/providers.c
 * fcgi/lessons/generator/llm/prices.c fcgi/lessons/generator/llm/url.c
 */
#include "common/config.h"

#include <ctype.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/redact.h"
#include "fcgi/lessons/generator/llm/llm.h"
#include "fcgi/lessons/generator/llm/url.h"
#include "tests/fuzz/lib/fuzz.h"

#define FOLDER "fcgi/lessons/generator/llm/"
#define PROVIDERS_MAX 16

enum { INPUT_MAX = 32768, SETTINGS_MAX = 64 };

static struct file {
    int fd;
    char setting[64];
    const char *own;
} providers_file = {.own = "PROVIDERS_FILE=" FOLDER "providers.json"},
  prices_file = {.own = "PRICES_FILE=" FOLDER "prices.json"};

#define CREDENTIALS "CREDENTIALS_DIRECTORY="

static char credentials[512] = CREDENTIALS; /* a directory of ours, with one */
static char credential[600];

static int secrets; /* that redaction was told */

/* Instead of common/redact.c, which remembers for ever. */
void redact_secret(const char *secret)
{
    must(secret != NULL && *secret != '\0');
    secrets++;
}

const char *redact(struct arena *a, const char *text, size_t len, size_t *out_len)
{
    (void)a;
    *out_len = len;
    return text;
}

static void make_file(struct file *f, const char *name)
{
    f->fd = memfd_create(name, MFD_CLOEXEC);
    must(f->fd >= 0);
    snprintf(f->setting, sizeof f->setting, "%s=/proc/self/fd/%d", name, f->fd);
}

static void remove_credentials(void)
{
    unlink(credential);
    rmdir(credentials + strlen(CREDENTIALS));
}

static void make_credentials(void)
{
    const char *where = getenv("TMPDIR");
    char *dir = credentials + strlen(CREDENTIALS);

    snprintf(dir, sizeof credentials - strlen(CREDENTIALS), "%.400s/credentials-XXXXXX",
             where ? where : "/tmp");
    must(mkdtemp(dir) != NULL);
    snprintf(credential, sizeof credential, "%s/OPENAI_API_KEY", dir);
    atexit(remove_credentials);
}

/* What is set is the credential itself. */
static char *set_credential(const char *text)
{
    FILE *f = fopen(credential, "we");

    must(f != NULL && fwrite(text, 1, strlen(text), f) == strlen(text));
    fclose(f);
    return credentials;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    make_file(&providers_file, "PROVIDERS_FILE");
    make_file(&prices_file, "PRICES_FILE");
    make_credentials();
    return 0;
}

/* The setting that names the file with this text. */
static char *file_setting(struct file *f, struct fuzz_part text)
{
    if (text.len == 0)
        return (char *)(uintptr_t)f->own;
    must(ftruncate(f->fd, 0) == 0);
    must(pwrite(f->fd, text.data, text.len, 0) == (ssize_t)text.len);
    return f->setting;
}

/* The environment is the input's. Returns how many secrets are in it. */
static int set_environment(struct arena *a, struct fuzz_part *rest, char *settings[], bool *prices)
{
    struct fuzz_part line;
    int count = 0, keys = 0;
    bool known = false;

    while (count < SETTINGS_MAX && fuzz_line(rest, &line) && line.len > 0) {
        settings[count] = arena_memdup(a, line.data, line.len);
        if (strncmp(settings[count], CREDENTIALS, strlen(CREDENTIALS)) == 0)
            settings[count] = set_credential(settings[count] + strlen(CREDENTIALS));
        /* whatever ends so, and has a value, is one; the first of the name is the one that counts
         */
        if (!known && strncmp(settings[count], "GROQ_API_KEY=", 13) == 0) {
            keys += settings[count][13] != '\0';
            known = true;
        }
        count++;
    }
    settings[count++] = file_setting(&providers_file, fuzz_until(rest, "\n---\n"));
    *prices = rest->len > 0;
    settings[count++] = file_setting(&prices_file, *rest);
    settings[count] = NULL;
    environ = settings;
    return keys;
}

static bool fails(const struct err *e)
{
    must(e->kind == ERR_INPUT && *e->text != '\0' && strchr(e->text, ':') != NULL);
    return false;
}

static void check_url(const char *url)
{
    size_t len = strlen(url);

    if (len == 0)
        return; /* the sample's, which nobody set */
    must(strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
    must(url[len - 1] != '/');
    for (const char *c = url; *c; c++)
        must(isgraph((unsigned char)*c) && strchr("?#@\"<>\\", *c) == NULL
                 ? true
                 : strchr(url + 8, '/') != NULL && *c == '@');
    url_is_address(url);
}

static void check_endpoint(struct arena *a, const struct llm_endpoint *endpoint)
{
    static const struct llm_prompt prompt = {"system", "user"};
    struct llm_request r;
    struct err e;

    check_url(endpoint->base_url);
    must(*endpoint->model != '\0' && *endpoint->max_tokens_name != '\0');
    must(endpoint->attempt_timeout_ms >= 1000 && endpoint->attempt_timeout_ms <= 3600000);
    must(endpoint->max_tokens >= 16 && endpoint->max_tokens <= 1000000);
    must(isnan(endpoint->temperature) ||
         (endpoint->temperature >= 0 && endpoint->temperature <= 2));
    endpoint->provider->build(a, endpoint, &prompt, &r);
    must(json_parse(a, r.body, strlen(r.body), &e) != NULL);
    must(json_parse(a, r.parameters, strlen(r.parameters), &e) != NULL);
    for (size_t i = 0; r.headers[i] != NULL; i++)
        must(strpbrk(r.headers[i], "\r\n") == NULL);
}

static bool check_providers(struct arena *a, struct err *e)
{
    size_t count, length, chain[PROVIDERS_MAX], seen = 0;
    struct llm_endpoint *endpoints = llm_endpoints_load(a, &count, e);

    if (endpoints == NULL)
        return fails(e);
    for (size_t i = 0; i < count; i++)
        check_endpoint(a, &endpoints[i]);
    if (!llm_chain_load(endpoints, count, chain, &length, e))
        return fails(e);
    must(length <= count);
    for (size_t i = 0; i < length; i++) {
        must(chain[i] < count && (seen >> chain[i] & 1) == 0);
        seen |= (size_t)1 << chain[i];
    }
    return true;
}

static bool check_prices(struct arena *a, struct err *e)
{
    const struct llm_prices *prices = llm_prices_load(a, e);
    struct llm_answer answer;
    const char *as_of;
    double usd;

    if (prices == NULL)
        return fails(e);
    llm_answer_init(&answer);
    answer.prompt_tokens = answer.completion_tokens = 1000;
    answer.cached_tokens = 10;
    if (llm_cost(prices, "openai", "gpt-5.4-mini", &answer, &usd, &as_of))
        must(usd >= 0 && strlen(as_of) == 10);
    return true;
}

static bool check_settings(struct err *e, int keys)
{
    static char name[] = "fuzz";
    char *arguments[] = {name, NULL};

    secrets = 0;
    if (!config_init(CONFIG_GENERATOR, "fuzz", 1, arguments, e))
        return fails(e);
    must(secrets >= keys);
    must(config_int("ATTEMPTS_MAX") >= 1 && config_int("ATTEMPTS_MAX") <= 100);
    must(config_int("SPOOL_MAX_MB") >= 1 && config_int("SPOOL_RESERVE_MB") >= 0);
    config_bool("DB_PREPARED");
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_part rest = {(const char *)data, size};
    char *settings[SETTINGS_MAX + 3], **before = environ;
    struct arena *a;
    struct err e;
    bool prices;
    int keys;

    if (size > INPUT_MAX)
        return 0;
    a = arena_create();
    keys = set_environment(a, &rest, settings, &prices);
    if (check_settings(&e, keys)) {
        check_providers(a, &e);
        if (prices)
            check_prices(a, &e);
    }
    environ = before;
    arena_destroy(a);
    return 0;
}
