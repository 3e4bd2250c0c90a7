covey_add_test(test_inprocess LINKS covey_common SOURCES unit/common/test_inprocess.c LABELS threads)
