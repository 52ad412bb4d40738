#include "common/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/redact.h"

enum kind { TEXT, SECRET, INT, BOOL, CHOICE };

#define VERSION "0.1.0"
#define RESPONDERS (CONFIG_TRACES | CONFIG_LESSONS)
#define PROGRAMS (RESPONDERS | CONFIG_GENERATOR | CONFIG_SAMPLE)
#ifndef DATA_DIR
#error "DATA_DIR: where providers.json and prices.json are, from the Makefile"
#endif

/* Alphabetical: config_find() searches by halves. */
static const struct config_entry {
    const char *name;
    enum kind kind;
    int programs;
    const char *fallback; /* the default; NULL: unset */
    long min, max;        /* INT */
    const char *help;     /* CHOICE: begins with the choices, in parentheses */
} entries[] = {
    {"ADDRESS_CONNECTIONS", INT, CONFIG_SCRIPTS, "100", 1, 65535,
     "nginx: connections with a request, of one address: more are answered 429"},
    {"ADDRESS_REQUESTS_PER_SECOND", INT, CONFIG_SCRIPTS, "200", 1, 65535,
     "nginx: requests of one address, and a second's worth at once: more are answered 429"},
    {"ANTHROPIC_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of anthropic"},
    {"ANTHROPIC_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, without /v1"},
    {"ANTHROPIC_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"ATTEMPTS_MAX", INT, CONFIG_GENERATOR, "10", 1, 100, "provider calls per generation, in all"},
    {"ATTEMPT_TIMEOUT_SECONDS", INT, CONFIG_GENERATOR, "180", 1, 3600,
     "one provider call (ollama: see PROVIDERS_FILE)"},
    {"AUTH_CLIENT_CA", TEXT, CONFIG_SCRIPTS, NULL, 0, 0,
     "scripts/run: with AUTH_MODE=mtls, the file of certificates that vouch for clients"},
    {"AUTH_CLIENT_CRL", TEXT, CONFIG_SCRIPTS, NULL, 0, 0,
     "scripts/run: the file of those certificates that are revoked (CRL); unset: none is"},
    {"AUTH_MODE", CHOICE, CONFIG_SCRIPTS, "basic", 0, 0,
     "(basic request mtls) scripts/run: how people sign in; bearer tokens are taken in each"},
    {"AUTH_REQUEST_URL", TEXT, CONFIG_SCRIPTS, "http://127.0.0.1:4180/oauth2/auth", 0, 0,
     "scripts/run: with AUTH_MODE=request, what says who it is: oauth2-proxy, or Authelia's "
     "/api/authz/auth-request"},
    {"BUILD_DIR", TEXT, CONFIG_SCRIPTS, "build", 0, 0,
     "scripts/run: build-address,undefined: the programs with sanitizers"},
    {"CONNECT_TIMEOUT_SECONDS", INT, CONFIG_GENERATOR, "5", 1, 300, "connecting to a provider"},
    {"DASHSCOPE_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of qwen"},
    {"DATABASE_ADMIN_URL", SECRET, RESPONDERS, NULL, 0, 0,
     "conninfo of role lesson_admin: requests of admins, scripts/cleanup"},
    {"DATABASE_API_URL", SECRET, RESPONDERS, NULL, 0, 0,
     "conninfo of role lesson_api: requests of users"},
    {"DATABASE_URL", SECRET, CONFIG_SCRIPTS, NULL, 0, 0,
     "conninfo for scripts/migrate: a role that may create roles"},
    {"DATABASE_WORKER_URL", SECRET, CONFIG_GENERATOR, NULL, 0, 0,
     "conninfo of role lesson_worker: a direct connection, for LISTEN"},
    {"DB_CONNECT_MS", INT, RESPONDERS | CONFIG_GENERATOR, "1000", 50, 60000,
     "connecting to PostgreSQL"},
    {"DB_PREPARED", BOOL, RESPONDERS | CONFIG_GENERATOR, "on", 0, 0,
     "prepared statements; off behind a PgBouncer before 1.21"},
    {"DB_REQUEST_MS", INT, RESPONDERS, "1500", 50, 60000,
     "PostgreSQL's share of a request, before it is answered 503"},
    {"DEFAULT_LLM_PROVIDER", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "goes first in the chain"},
    {"DRAIN_SECONDS", INT, CONFIG_GENERATOR, "30", 0, 3600,
     "after SIGTERM: time for calls under way; the rest is requeued"},
    {"GEMINI_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of gemini"},
    {"GEMINI_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, without /v1beta"},
    {"GEMINI_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"GENERATIONS_IN_FLIGHT_MAX", INT, CONFIG_GENERATOR, "5000", 1, 100000,
     "generations one generator works on at a time"},
    {"GENERATION_TIMEOUT_SECONDS", INT, CONFIG_GENERATOR, "600", 1, 86400,
     "one generation, all its calls and waits"},
    {"GENERATOR_PROCESSES", INT, CONFIG_SCRIPTS, "1", 1, 99,
     "scripts/run: generators; the second's slot is GENERATOR_SLOT.2"},
    {"GENERATOR_SLOT", TEXT, CONFIG_GENERATOR, "1", 0, 0,
     "name of this generator on this host; one process a slot"},
    {"GOOGLE_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of gemini, if no GEMINI_API_KEY"},
    {"GROQ_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of groq"},
    {"GROQ_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, with /openai/v1; `sample`: the built-in provider"},
    {"GROQ_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"HF_TOKEN", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of huggingface"},
    {"HUGGINGFACE_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0,
     "key of huggingface, if no HF_TOKEN"},
    {"HUGGINGFACE_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, with /v1; `sample`: the built-in provider"},
    {"HUGGINGFACE_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the one in PROVIDERS_FILE"},
    {"IDLE_TIMEOUT_SECONDS", INT, CONFIG_GENERATOR, "30", 1, 3600,
     "between two bytes of an answer, once it has begun"},
    {"LEASE_SECONDS", INT, CONFIG_LESSONS | CONFIG_GENERATOR, "30", 2, 3600,
     "without a heartbeat for so long a generator is taken for dead"},
    {"LESSONS_PROCESSES", INT, CONFIG_SCRIPTS, "4", 1, 99, "scripts/run: responders of lessons"},
    {"LLM_MAX_TOKENS", INT, CONFIG_GENERATOR, "8192", 16, 1000000,
     "output tokens asked of a provider at most"},
    {"LLM_PROVIDERS", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "the chain, a comma list; unset: gemini, groq, qwen, huggingface, ollama, openai, anthropic, "
     "those of them that are configured, or else sample"},
    {"LLM_TEMPERATURE", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "0 to 2; unset: none is sent (current models refuse it)"},
    {"LOG_FORMAT", CHOICE, PROGRAMS, "logfmt", 0, 0, "(logfmt json)"},
    {"LOG_LEVEL", CHOICE, PROGRAMS, "info", 0, 0, "(debug info warn error)"},
    {"NGINX_USER", TEXT, RESPONDERS | CONFIG_SAMPLE, "www-data", 0, 0,
     "as whom nginx's workers run: the responders listen to it, their own user and root alone"},
    {"OLLAMA_HOST", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "host, host:port or URL of ollama; setting it configures ollama"},
    {"OLLAMA_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"OLLAMA_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "if no OLLAMA_HOST"},
    {"OPENAI_API_KEY", SECRET, CONFIG_GENERATOR, NULL, 0, 0, "key of openai"},
    {"OPENAI_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, with /v1; `sample`: the built-in provider"},
    {"OPENAI_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"PORT", INT, CONFIG_SCRIPTS, "8080", 1, 65535, "scripts/run: plain HTTP, loopback"},
    {"PRICES_FILE", TEXT, CONFIG_GENERATOR, DATA_DIR "/prices.json", 0, 0, "prices of models"},
    {"PROVIDERS_FILE", TEXT, CONFIG_GENERATOR, DATA_DIR "/providers.json", 0, 0,
     "URLs, models and parameter names of providers"},
    {"QUEUED_MAX", INT, CONFIG_LESSONS, "10000", 1, 10000000,
     "generations queued or running, of all users: more are answered 503"},
    {"QWEN_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the URL in PROVIDERS_FILE, with /v1: the host of the key's region; `sample`: the "
     "built-in provider"},
    {"QWEN_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0, "instead of the one in PROVIDERS_FILE"},
    {"RUNTIME_DIRECTORY", TEXT, RESPONDERS | CONFIG_SAMPLE, NULL, 0, 0,
     "where the responders share what a user may do in a second: a directory of theirs; systemd "
     "sets it; unset: the socket's"},
    {"RUN_DIR", TEXT, CONFIG_SCRIPTS, "./run", 0, 0, "scripts/run: where everything lives"},
    {"SAMPLE_BASE_URL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "where nginx serves sample.fcgi; unset: there is no sample provider"},
    {"SAMPLE_MODEL", TEXT, CONFIG_GENERATOR, NULL, 0, 0,
     "instead of the one in PROVIDERS_FILE; fail-429, slow and others show faults"},
    {"SAMPLE_PROCESSES", INT, CONFIG_SCRIPTS, "2", 1, 99,
     "scripts/run: responders of the built-in provider"},
    {"SPOOL_MAX_MB", INT, CONFIG_GENERATOR, "1024", 1, 1000000,
     "what may wait on disk for PostgreSQL to be back"},
    {"SPOOL_RESERVE_MB", INT, CONFIG_GENERATOR, "1024", 0, 1000000,
     "what the spool leaves free on its disk; with less, nothing new is begun"},
    {"STATE_DIR", TEXT, CONFIG_GENERATOR, "/var/lib/lesson-tracer", 0, 0,
     "the generator's directory, on a local disk: the lock of its slot, the spool"},
    {"TLS_PORT", INT, CONFIG_SCRIPTS, "8443", 1, 65535, "scripts/run: HTTPS, loopback"},
    {"TRACES_PROCESSES", INT, CONFIG_TRACES | CONFIG_SCRIPTS, "4", 1, 99,
     "responders of traces, of which half may export at a time"},
    {"TRACE_CONTENT", BOOL, CONFIG_LESSONS | CONFIG_GENERATOR, "on", 0, 0,
     "off: new traces keep times, tokens, cost and errors in our words, but no outline, prompt or "
     "answer; the lessons themselves are kept"},
    {"TRACE_RETENTION_DAYS", INT, CONFIG_SCRIPTS, NULL, 1, 36500,
     "scripts/run: delete older traces daily; unset: keep them"},
    {"USER_POSTS_PER_MINUTE", INT, CONFIG_LESSONS, "600", 0, 1000000,
     "generations that one user asks for, and a minute's worth at once: more are answered 429; 0: "
     "no limit"},
    {"USER_QUEUED_MAX", INT, CONFIG_LESSONS, "1000", 1, 10000000,
     "generations queued or running, of one user: more are answered 429"},
    {"USER_REQUESTS_PER_SECOND", INT, RESPONDERS, "100", 0, 1000000,
     "requests of one user, and a second's worth at once: more are answered 429; 0: no limit"},
    {"USER_TOKENS_PER_DAY", INT, CONFIG_LESSONS, "0", 0, 1000000000000,
     "tokens that the calls of one user used in a day of UTC, after which no more generations are "
     "taken: 429; up to USER_QUEUED_MAX that are queued or running then still use theirs; 0: no "
     "limit"},
};

enum { ENTRY_COUNT = sizeof entries / sizeof *entries, CREDENTIAL_MAX = 4096 };

static const struct config_entry *config_find(const char *name)
{
    size_t low = 0, high = ENTRY_COUNT;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int order = strcmp(name, entries[mid].name);

        if (order == 0)
            return &entries[mid];
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    fprintf(stderr, "config: no setting %s\n", name);
    abort();
}

/* What files of $CREDENTIALS_DIRECTORY gave; read once, since a value lives as long as we do. */
static char *credentials[ENTRY_COUNT];

static const char *value_of(const struct config_entry *c)
{
    const char *v = getenv(c->name);

    if (v != NULL && *v != '\0')
        return v;
    return credentials[c - entries] ? credentials[c - entries] : c->fallback;
}

const char *config_text(const char *name)
{
    return value_of(config_find(name));
}

long config_int(const char *name)
{
    const char *v = config_text(name);

    return v ? strtol(v, NULL, 10) : 0;
}

static bool is_on(const char *v)
{
    return v && (strcmp(v, "on") == 0 || strcmp(v, "true") == 0 || strcmp(v, "1") == 0);
}

static bool is_off(const char *v)
{
    return v && (strcmp(v, "off") == 0 || strcmp(v, "false") == 0 || strcmp(v, "0") == 0);
}

bool config_bool(const char *name)
{
    return is_on(config_text(name));
}

/* Whether value is one of the words in "(word word ...)". */
static bool is_choice(const char *choices, const char *value)
{
    size_t len = strlen(value);

    for (const char *p = choices + 1; *p && *p != ')'; p += strcspn(p, " )")) {
        p += *p == ' ';
        if (strcspn(p, " )") == len && strncmp(p, value, len) == 0)
            return true;
    }
    return false;
}

/*
 * systemd.exec(5), LoadCredential=: a secret in a file of its name, which no other process sees in
 * our environment. The line end that editors leave is no part of it.
 */
static bool read_credential(const struct config_entry *c, struct err *e)
{
    static char text[CREDENTIAL_MAX + 1];
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    char path[512];
    bool failed;
    size_t len;
    FILE *f;

    free(credentials[c - entries]); /* of an earlier time */
    credentials[c - entries] = NULL;
    if (dir == NULL || c->kind != SECRET)
        return true;
    if (snprintf(path, sizeof path, "%s/%s", dir, c->name) >= (int)sizeof path)
        return err_set(e, ERR_INPUT, "CREDENTIALS_DIRECTORY: too long a path");
    if ((f = fopen(path, "re")) == NULL)
        return errno == ENOENT ||
               err_set(e, ERR_INPUT, "%s: its credential: %s", c->name, strerror(errno));
    len = fread(text, 1, sizeof text, f);
    failed = ferror(f) || len == sizeof text || memchr(text, '\0', len) != NULL;
    fclose(f);
    if (failed)
        return err_set(e, ERR_INPUT, "%s: its credential: text of at most %d bytes expected",
                       c->name, CREDENTIAL_MAX);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (len > 0 && (credentials[c - entries] = strndup(text, len)) == NULL)
        abort();
    return true;
}

static bool check(const struct config_entry *c, struct err *e)
{
    const char *v = value_of(c);
    char *end;
    long n;

    if (v == NULL)
        return true;
    switch (c->kind) {
    case TEXT:
        return true;
    case SECRET:
        redact_secret(v);
        for (const char *p = v; *p; p++)
            if ((unsigned char)*p < ' ')
                return err_set(e, ERR_INPUT, "%s: control character", c->name);
        return true;
    case INT:
        n = strtol(v, &end, 10);
        if (*end || end == v || n < c->min || n > c->max)
            return err_set(e, ERR_INPUT, "%s: whole number from %ld to %ld expected, not \"%.40s\"",
                           c->name, c->min, c->max, v);
        return true;
    case BOOL:
        if (!is_on(v) && !is_off(v))
            return err_set(e, ERR_INPUT, "%s: on or off expected, not \"%.40s\"", c->name, v);
        return true;
    case CHOICE:
        if (!is_choice(c->help, v))
            return err_set(e, ERR_INPUT, "%s: one of %s expected, not \"%.40s\"", c->name, c->help,
                           v);
        return true;
    }
    return true;
}

static void help(enum config_program program, const char *name)
{
    printf("%s %s: part of lesson-tracer. Settings come from the environment,\n"
           "secrets also from files of their names in $CREDENTIALS_DIRECTORY:\n\n",
           name, VERSION);
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const struct config_entry *c = &entries[i];

        if (c->programs & (int)program)
            printf("  %-26s %s%s%s%s\n", c->name, c->help, c->fallback ? " [" : "",
                   c->fallback ? c->fallback : "", c->fallback ? "]" : "");
    }
    puts("\n  --help                     this text\n"
         "  --settings-markdown        all settings, as a table\n"
         "  --version                  the version");
}

static void markdown(void)
{
    static const char *const readers[] = {"traces", "lessons", "generator", "sample", "scripts"};

    puts("| setting | default | read by | meaning |\n|---|---|---|---|");
    for (size_t i = 0; i < ENTRY_COUNT; i++) {
        const struct config_entry *c = &entries[i];
        const char *comma = "";

        printf("| `%s` | %s%s%s | ", c->name, c->fallback ? "`" : "",
               c->fallback ? c->fallback : "", c->fallback ? "`" : "");
        for (size_t p = 0; p < sizeof readers / sizeof *readers; p++)
            if (c->programs & (1 << p)) {
                printf("%s%s", comma, readers[p]);
                comma = ", ";
            }
        printf(" | %s%s |\n", c->kind == SECRET ? "(secret) " : "", c->help);
    }
}

bool config_init(enum config_program program, const char *name, int argc, char *argv[],
                 struct err *e)
{
    if (argc > 1) {
        if (strcmp(argv[1], "--help") == 0)
            help(program, name);
        else if (strcmp(argv[1], "--settings-markdown") == 0)
            markdown();
        else if (strcmp(argv[1], "--version") == 0)
            printf("%s %s\n", name, VERSION);
        else
            return err_set(e, ERR_INPUT, "%.60s: no such option, see --help", argv[1]);
        exit(0);
    }
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* the keys would be in it */
    for (size_t i = 0; i < ENTRY_COUNT; i++)
        if ((entries[i].programs & (int)program) &&
            (!read_credential(&entries[i], e) || !check(&entries[i], e)))
            return false;
    return true;
}
