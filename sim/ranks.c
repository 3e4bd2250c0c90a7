/* The only file that knows MPI. */
#include "ranks.h"

#include <limits.h>
#include <mpi.h>
#include <stdlib.h>

static enum covey_status checked(int result, struct covey_error *err)
{
    return result == MPI_SUCCESS ? COVEY_OK : covey_fail(err, COVEY_IO, "MPI: error %d", result);
}

static enum covey_status fits(size_t count, struct covey_error *err)
{
    return count <= INT_MAX ? COVEY_OK : covey_fail(err, COVEY_LIMIT, "MPI: %zu items in one message", count);
}

static enum covey_status share(void *user, void *bytes, size_t size, struct covey_error *err)
{
    (void)user;
    COVEY_TRY(fits(size, err));
    return checked(MPI_Allreduce(MPI_IN_PLACE, bytes, (int)size, MPI_BYTE, MPI_BOR, MPI_COMM_WORLD), err);
}

static enum covey_status add(void *user, double *values, size_t count, struct covey_error *err)
{
    (void)user;
    COVEY_TRY(fits(count, err));
    return checked(MPI_Allreduce(MPI_IN_PLACE, values, (int)count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD), err);
}

static enum covey_status send(void *user, uint32_t to, const void *bytes, size_t size,
                              struct covey_error *err)
{
    (void)user;
    COVEY_TRY(fits(size, err));
    return checked(MPI_Send(bytes, (int)size, MPI_BYTE, (int)to, 0, MPI_COMM_WORLD), err);
}

static enum covey_status receive(void *user, uint32_t from, void *bytes, size_t size, struct covey_error *err)
{
    (void)user;
    COVEY_TRY(fits(size, err));
    return checked(MPI_Recv(bytes, (int)size, MPI_BYTE, (int)from, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
                   err);
}

static enum covey_status broadcast(void *user, uint32_t from, void *bytes, size_t size,
                                   struct covey_error *err)
{
    (void)user;
    COVEY_TRY(fits(size, err));
    return checked(MPI_Bcast(bytes, (int)size, MPI_BYTE, (int)from, MPI_COMM_WORLD), err);
}

/* MPI costs a noticeable start: only what a launcher started takes part. */
static int was_launched(void)
{
    static const char *const signs[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK"};
    for (size_t i = 0; i < sizeof signs / sizeof signs[0]; i++)
        if (getenv(signs[i]) != NULL)
            return 1;
    return 0;
}

enum covey_status covey_ranks_start(struct covey_ranks *out, struct covey_error *err)
{
    int rank = 0, count = 1, provided = 0;
    *out = (struct covey_ranks){.count = 1};
    if (!was_launched())
        return COVEY_OK;
    /* workers never call MPI */
    COVEY_TRY(checked(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), err));
    COVEY_TRY(checked(MPI_Comm_rank(MPI_COMM_WORLD, &rank), err));
    COVEY_TRY(checked(MPI_Comm_size(MPI_COMM_WORLD, &count), err));
    *out = (struct covey_ranks){.rank = (uint32_t)rank,
                                .count = (uint32_t)count,
                                .share = share,
                                .add = add,
                                .send = send,
                                .receive = receive,
                                .broadcast = broadcast};
    return COVEY_OK;
}

void covey_ranks_stop(const struct covey_ranks *ranks, int failed)
{
    if (ranks->share == NULL)
        return;
    if (failed != 0)
        (void)MPI_Abort(MPI_COMM_WORLD, failed);
    (void)MPI_Finalize();
}
