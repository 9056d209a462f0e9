/* delayed.c - responses that take long, prepared by worker threads
 *
 *     build: cc -pthread -o delayed examples/delayed.c
 *     try:   ./delayed 8080, then curl 'http://localhost:8080/work?ms=2000'
 *
 * The loop hands jobs to a few worker threads and goes on serving. A job has the id of its
 * request, not its connection, since only the loop may use connections. A worker puts its job
 * into the list of finished ones and calls uhttp_server_wakeup(); the loop then looks the
 * request up with uhttp_find(). If the client has disconnected there is none.
 *
 * The queue of jobs is bounded: when it is full, clients are told to come back later. The job of
 * a client that has disconnected is skipped when its turn comes.
 */
#define UHTTP_IMPLEMENTATION
#include "../uhttp_server.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WORKERS   2
#define QUEUE_MAX 64
#define MS_MAX    5000l

typedef struct job {
    uint64_t request;           /* uhttp_id() of who waits for it */
    long ms;
} job;

typedef struct job_list {
    job jobs[QUEUE_MAX];
    unsigned first, count;
} job_list;

static job_list queue;          /* the loop's own, as the next three */
static unsigned busy;           /* workers that have a job, or have it done */
static unsigned answered;
static unsigned left;           /* jobs whose clients have left */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t news = PTHREAD_COND_INITIALIZER;
static job_list given, done;    /* under the lock, at most WORKERS in both; as the next */
static bool workers_end;

static uhttp_server *server;
static volatile sig_atomic_t stop;

static void list_put(job_list *list, job item)
{
    list->jobs[(list->first + list->count++) % QUEUE_MAX] = item;
}

static bool list_take(job_list *list, job *item)
{
    if (list->count == 0)
        return false;
    *item = list->jobs[list->first];
    list->first = (list->first + 1) % QUEUE_MAX;
    list->count--;
    return true;
}

static bool read_number(const char *text, long most, long *number)
{
    char *end;
    if (text == NULL || *text < '0' || *text > '9')
        return false;
    *number = strtol(text, &end, 10);
    return *end == '\0' && *number <= most;
}

/*--- in the workers' threads --------------------------------------------------*/

/* Stands for whatever takes long: a sensor, a database, a computation. */
static void do_work(const job *item)
{
    struct timespec time = { item->ms / 1000, item->ms % 1000 * 1000000 };
    nanosleep(&time, NULL);
}

static void *run_worker(void *unused)
{
    job item;
    (void)unused;
    pthread_mutex_lock(&lock);
    while (!workers_end) {
        if (!list_take(&given, &item)) {
            pthread_cond_wait(&news, &lock);
            continue;
        }
        pthread_mutex_unlock(&lock);
        do_work(&item);
        pthread_mutex_lock(&lock);
        list_put(&done, item);
        uhttp_server_wakeup(server);
    }
    pthread_mutex_unlock(&lock);
    return NULL;
}

/*--- in the loop --------------------------------------------------------------*/

/* Does anybody wait for this job? Lets go of who has left. */
static bool is_wanted(const job *item)
{
    uhttp_conn *c = uhttp_find(server, item->request);
    if (c != NULL && uhttp_is_open(c))
        return true;
    if (c != NULL)
        uhttp_close(c);
    left++;
    return false;
}

static void hand_out_jobs(void)
{
    job item;
    while (busy < WORKERS && list_take(&queue, &item)) {
        if (!is_wanted(&item))
            continue;
        busy++;
        pthread_mutex_lock(&lock);
        list_put(&given, item);
        pthread_cond_signal(&news);
        pthread_mutex_unlock(&lock);
    }
}

static bool take_done(job *item)
{
    pthread_mutex_lock(&lock);
    bool any = list_take(&done, item);
    pthread_mutex_unlock(&lock);
    return any;
}

static void answer_done_jobs(void)
{
    job item;
    char text[64];
    while (take_done(&item)) {
        busy--;
        if (!is_wanted(&item))
            continue;
        snprintf(text, sizeof text, "%ld ms of work\n", item.ms);
        if (uhttp_respond_text(uhttp_find(server, item.request), 200, text) == UHTTP_OK)
            answered++;
    }
}

static void begin_job(uhttp_conn *c)
{
    const char *text = uhttp_query(c, "ms");
    job item = { uhttp_id(c), 0 };
    if (!read_number(text, MS_MAX, &item.ms)) {
        uhttp_respond_text(c, 400, "ms is a number up to 5000\n");
        return;
    }
    if (queue.count == QUEUE_MAX) {
        uhttp_add_header(c, "Retry-After", "1");
        uhttp_respond_error(c, 503);
        return;
    }
    list_put(&queue, item);
}

static void serve(uhttp_conn *c)
{
    char text[96];
    if (strcmp(uhttp_path(c), "/work") == 0) {
        begin_job(c);
    } else if (strcmp(uhttp_path(c), "/status") == 0) {
        snprintf(text, sizeof text, "queued %u, busy %u, answered %u, left %u\n", queue.count,
                 busy, answered, left);
        uhttp_respond_text(c, 200, text);
    } else {
        uhttp_respond_error(c, 404);
    }
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
    uhttp_server_wakeup(server);
}

int main(int argc, char **argv)
{
    pthread_t workers[WORKERS];
    uhttp_config config = { 0 };
    long port = 8080;
    if (argc > 2 || (argc > 1 && !read_number(argv[1], 65535, &port))) {
        fprintf(stderr, "usage: %s [port]    port 0: any that is free\n", argv[0]);
        return 2;
    }
    config.port = port == 0 ? UHTTP_PORT_ANY : (int)port;
    config.max_connections = QUEUE_MAX + 16;    /* some are left for quick answers */
    config.response_timeout_ms = 60000;         /* whoever waits longer gets a 503 */
    uhttp_result result = uhttp_server_open(&server, &config);
    if (result != UHTTP_OK) {
        fprintf(stderr, "cannot listen on port %ld: %s\n", port, uhttp_strerror(result));
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    for (int i = 0; i < WORKERS; i++) {
        if (pthread_create(&workers[i], NULL, run_worker, NULL) != 0) {
            fprintf(stderr, "cannot start a thread\n");
            return 1;
        }
    }
    printf("listening on http://localhost:%d/work?ms=2000\n", uhttp_server_port(server));
    fflush(stdout);

    while (!stop) {
        uhttp_conn *c = uhttp_wait(server, -1);
        if (c != NULL)
            serve(c);
        answer_done_jobs();     /* c is NULL when a worker, or a signal, has woken the loop */
        hand_out_jobs();
    }

    pthread_mutex_lock(&lock);
    workers_end = true;
    pthread_cond_broadcast(&news);
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);     /* before the server they would wake goes */
    signal(SIGINT, SIG_DFL);                /* the handler must not wake it any more */
    signal(SIGTERM, SIG_DFL);
    uhttp_server_close(server);
    puts("stopped");
    return 0;
}
