/* Trains a shipped model step by step on the synthetic batches of tests/golden/training/make_golden.py, and
 * compares each loss, and weights after some steps, with what PyTorch had in f64. */
#ifndef COVEY_TEST_FOLLOWING_H
#define COVEY_TEST_FOLLOWING_H

#include "covey/training_plan.h"

#define FOLLOWING_STEPS 200

struct following {
    const char *model, *optimiser; /* "2nn", "sgd" */
    const struct covey_engine *engine;
    unsigned steps;        /* how many are run */
    unsigned compared;     /* how many of them are held to the tolerance, losses and weights */
    double tolerance;      /* relative */
    double mean_tolerance; /* of the mean loss of steps 150 to 200; 0: not compared */
};

void follow_pytorch(const struct following *at);

#endif
