#include "common/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/config.h"
#include "common/json.h"
#include "common/redact.h"
#include "common/utf8.h"

/* A line holds a dozen of the longest texts even with each byte escaped: its end must not be lost.
 */
enum { LINE_MAX_BYTES = 1 << 17, TEXT_MAX_BYTES = 1024 };

#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

static const char *const level_names[] = {"debug", "info", "warn", "error"};

static struct {
    const char *program;
    enum log_level level;
    bool json;
} logger = {.program = "-", .level = LOG_INFO};

void log_init(const char *program)
{
    const char *level = config_text("LOG_LEVEL");

    logger.program = program;
    logger.json = strcmp(config_text("LOG_FORMAT"), "json") == 0;
    for (size_t i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(level, level_names[i]) == 0)
            logger.level = (enum log_level)i;
}

static void put(struct buf *line, struct json_out *out, const char *key, const char *text)
{
    size_t len = strlen(text);
    bool plain = len > 0 && strcspn(text, " \"=\\\t\r\n") == len;

    if (logger.json) {
        json_put_bytes(out, key, text, len);
        return;
    }
    for (size_t i = 0; i < len; i++)
        plain = plain && (unsigned char)text[i] >= ' ' && text[i] != 0x7f;
    buf_printf(line, "%s%s=", line->len ? " " : "", key);
    if (plain)
        buf_add(line, text, len);
    else
        json_write_string(line, text, len);
}

/* U+0080 to U+009F, which JSON does not escape, and some terminals obey. */
static bool is_c1(const char *s, size_t len)
{
    return len > 1 && (unsigned char)s[0] == 0xC2 && (unsigned char)s[1] < 0xA0;
}

/* The text as it may be logged: valid, without secrets, not too long. */
static const char *clean(struct arena *a, const char *text)
{
    size_t len = strlen(text), kept = 0;
    struct buf *b = buf_create(a, 4UL * TEXT_MAX_BYTES),
               *safe = buf_create(a, 8UL * TEXT_MAX_BYTES);

    text = redact(a, text, len, &len); /* before it is cut: half a secret would not be seen */
    utf8_store(b, text, len > TEXT_MAX_BYTES ? TEXT_MAX_BYTES : len);
    for (size_t i = 0; i < b->len; i++)
        if (is_c1(b->data + i, b->len - i)) {
            buf_add(safe, b->data + kept, i - kept);
            buf_puts(safe, REPLACEMENT);
            kept = i + 2;
        }
    buf_add(safe, buf_text(b) + kept, b->len - kept);
    return buf_text(safe);
}

static void put_number(struct buf *line, struct json_out *out, const char *key, long long number)
{
    if (logger.json)
        json_put_int(out, key, number);
    else
        buf_printf(line, " %s=%lld", key, number);
}

static void put_fields(struct arena *a, struct buf *line, struct json_out *out,
                       const struct log_field fields[])
{
    for (const struct log_field *f = fields; f->key != NULL; f++)
        if (f->text != NULL)
            put(line, out, f->key, clean(a, f->text));
        else
            put_number(line, out, f->key, f->number);
}

void log_write(enum log_level level, const char *id, const char *event,
               const struct log_field fields[])
{
    struct arena *a;
    struct buf line;
    struct json_out out = {&line, false};
    struct timespec now;
    struct tm tm;
    char when[32];
    ssize_t written;

    if (level < logger.level)
        return;
    a = arena_create();
    buf_init(&line, LINE_MAX_BYTES);
    clock_gettime(CLOCK_REALTIME, &now);
    strftime(when, sizeof when, "%FT%T", gmtime_r(&now.tv_sec, &tm));
    if (logger.json)
        json_begin(&out, NULL, '{');
    put(&line, &out, "ts", arena_printf(a, "%s.%03ldZ", when, now.tv_nsec / 1000000));
    put(&line, &out, "level", level_names[level]);
    put(&line, &out, "id", id && *id ? clean(a, id) : "-");
    put(&line, &out, "program", logger.program);
    put_number(&line, &out, "pid", getpid());
    put(&line, &out, "event", event);
    put_fields(a, &line, &out, fields);
    if (logger.json)
        json_end(&out, '}');
    buf_puts(&line, "\n");
    written = write(STDERR_FILENO, buf_text(&line), line.len);
    (void)written; /* there is nowhere left to say that it failed */
    buf_finish(&line);
    arena_destroy(a);
}
