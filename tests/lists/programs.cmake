covey_add_test(test_progress SOURCES unit/common/test_progress.c LINKS covey_common)
