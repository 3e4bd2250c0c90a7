covey_add_test(test_linalg SOURCES unit/common/test_linalg.c LINKS covey_common)
