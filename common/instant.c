#include "common/instant.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { FRACTION_DIGITS = 6 };

/* As many digits as the pattern has 'd's, other characters as they are; NULL if it is not so. */
static const char *match(const char *s, const char *pattern)
{
    for (; *pattern; pattern++, s++)
        if (*pattern == 'd' ? !isdigit((unsigned char)*s) : *s != *pattern)
            return NULL;
    return s;
}

static const char *read_fraction(const char *s, int64_t *us)
{
    int n = 0;

    if (*s != '.')
        return s;
    for (s++; isdigit((unsigned char)*s); s++, n++)
        if (n < FRACTION_DIGITS)
            *us = *us * 10 + (*s - '0');
    for (int i = n; i < FRACTION_DIGITS; i++)
        *us *= 10;
    return n > 0 ? s : NULL;
}

/* "Z" or "+02:00", to the end. */
static bool read_offset(const char *s, int64_t *seconds)
{
    int hours, minutes;

    *seconds = 0;
    if (strcmp(s, "Z") == 0 || strcmp(s, "z") == 0)
        return true;
    if ((*s != '+' && *s != '-') || match(s + 1, "dd:dd") != s + 6 || s[6] != '\0')
        return false;
    /* NOLINTNEXTLINE(cert-err34-c): they are digits */
    sscanf(s + 1, "%2d:%2d", &hours, &minutes);
    *seconds = (int64_t)(hours * 60 + minutes) * 60 * (*s == '-' ? -1 : 1);
    return hours < 24 && minutes < 60;
}

/* A date that there is: of the 31st of April, timegm() makes the 1st of May. */
static bool is_date(const struct tm *asked, const struct tm *made)
{
    return asked->tm_year == made->tm_year && asked->tm_mon == made->tm_mon &&
           asked->tm_mday == made->tm_mday && asked->tm_hour == made->tm_hour &&
           asked->tm_min == made->tm_min && asked->tm_sec == made->tm_sec;
}

static bool in_range(time_t at)
{
    struct tm tm;

    gmtime_r(&at, &tm);
    return tm.tm_year >= 1 - 1900 && tm.tm_year <= 9999 - 1900;
}

bool instant_parse(const char *text, int64_t *at)
{
    struct tm asked = {0}, made;
    const char *rest;
    int64_t us = 0, offset;
    time_t seconds;

    rest = match(text, "dddd-dd-dd");
    if (rest == NULL || (*rest != 'T' && *rest != 't') ||
        (rest = match(rest + 1, "dd:dd:dd")) == NULL)
        return false;
    /* NOLINTNEXTLINE(cert-err34-c): they are digits */
    sscanf(text, "%4d-%2d-%2d%*c%2d:%2d:%2d", &asked.tm_year, &asked.tm_mon, &asked.tm_mday,
           &asked.tm_hour, &asked.tm_min, &asked.tm_sec);
    asked.tm_year -= 1900;
    asked.tm_mon--;
    made = asked;
    seconds = timegm(&made);
    rest = read_fraction(rest, &us);
    if (rest == NULL || !read_offset(rest, &offset) || !is_date(&asked, &made))
        return false;
    seconds -= offset;
    *at = seconds * INSTANT_SECOND + us;
    return in_range(seconds);
}

const char *instant_text(struct arena *a, int64_t at)
{
    int64_t us = (at % INSTANT_SECOND + INSTANT_SECOND) % INSTANT_SECOND;
    time_t seconds = (at - us) / INSTANT_SECOND;
    struct tm tm;

    gmtime_r(&seconds, &tm);
    return arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00", tm.tm_year + 1900,
                        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)us);
}

int64_t instant_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * INSTANT_SECOND + t.tv_nsec / 1000;
}
