/*
 * replay: runs each file of the directories, and each file, that are named through the target it is
 * linked with. Says how many there were.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/lib/fuzz.h"

enum { INPUT_MAX = 1 << 20, PATH_SIZE = 4096 };

static int count;

static void fail(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    exit(2);
}

/* In memory of its own size, so that reading past it is seen. */
static void run(const char *path)
{
    static char chunk[INPUT_MAX];
    FILE *f = fopen(path, "re");
    uint8_t *data;
    size_t len;

    if (f == NULL)
        fail(path);
    len = fread(chunk, 1, sizeof chunk, f);
    fclose(f);
    data = malloc(len ? len : 1);
    if (data == NULL)
        fail(path);
    memcpy(data, chunk, len);
    LLVMFuzzerTestOneInput(data, len);
    free(data);
    count++;
}

static void run_all(const char *path)
{
    char name[PATH_SIZE];
    struct stat st;
    DIR *d;

    if (stat(path, &st) < 0)
        fail(path);
    if (!S_ISDIR(st.st_mode)) {
        run(path);
        return;
    }
    d = opendir(path);
    if (d == NULL)
        fail(path);
    for (struct dirent *entry; (entry = readdir(d)) != NULL;)
        if (*entry->d_name != '.' && snprintf(name, sizeof name, "%s/%s", path, entry->d_name) > 0)
            run_all(name);
    closedir(d);
}

int main(int argc, char *argv[])
{
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        run_all(argv[i]);
    printf("%s: %d inputs\n", argv[0], count);
    return count > 0 ? 0 : 1;
}
