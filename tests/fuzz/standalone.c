/* standalone.c - a main() for any fuzzer where libFuzzer is not
 *
 * With afl-clang-fast it is AFL++'s persistent loop, without a fork for each input. With any
 * other compiler it runs the files it is given, or its standard input, once:
 *
 *     afl-clang-fast -fsanitize=address,undefined tests/fuzz/fuzz_head.c tests/fuzz/standalone.c \
 *         -o head && afl-fuzz -i tests/fuzz/corpus/head -o found -- ./head
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each input in a block of its own size, so that a byte beyond it is seen. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)malloc(size > 0 ? size : 1);
    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

#ifdef __AFL_FUZZ_TESTCASE_LEN

#include <unistd.h>

__AFL_FUZZ_INIT();

int main(void)
{
    __AFL_INIT();
    const uint8_t *data = __AFL_FUZZ_TESTCASE_BUF;
    while (__AFL_LOOP(10000)) {
        size_t size = (size_t)__AFL_FUZZ_TESTCASE_LEN;
        run(data, size);
    }
    return 0;
}

#else

static int run_file(FILE *file, const char *name)
{
    size_t size = 0;
    size_t room = 4096;
    uint8_t *data = (uint8_t *)malloc(room);
    if (file == NULL || data == NULL) {
        perror(name);
        return 1;
    }
    for (size_t n; (n = fread(data + size, 1, room - size, file)) > 0;) {
        size += n;
        if (size == room)
            data = (uint8_t *)realloc(data, room *= 2);
        if (data == NULL)
            abort();
    }
    run(data, size);
    free(data);
    fclose(file);
    return 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    if (argc < 2)
        return run_file(stdin, "standard input");
    for (int i = 1; i < argc; i++)
        failed |= run_file(fopen(argv[i], "rb"), argv[i]);
    return failed;
}

#endif
