/* The program without its beginning: main() gives its routes to http_run(), which is the target's.
 */
int lessons_main(int argc, char *argv[]);
#define main lessons_main
#include "fcgi/lessons/main.c"
