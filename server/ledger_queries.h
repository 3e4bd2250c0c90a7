/* Every question that the ledger asks SQLite, a row each: prepared at first use and kept. */
#ifndef COVEY_LEDGER_QUERIES_H
#define COVEY_LEDGER_QUERIES_H

#define COVEY_LEDGER_ROUND_COLUMNS                                                                           \
    "federation, round, state, base_sequence, base_model, opened_ms, deadline_ms, closed_ms, slots, goal,"   \
    " sequence, model, updates, dropped, examples, update_bytes, bytes_up, bytes_down, train_loss, judged, " \
    "loss,"                                                                                                  \
    " metric"
#define COVEY_LEDGER_UPDATE_COLUMNS                                                                          \
    "federation, device, assignment, round, slot, body_hash, examples, training_ms, stream_bytes, "          \
    "loss_before,"                                                                                           \
    " loss_after, received_ms, body"
#define COVEY_LEDGER_QUERIES(X)                                                                              \
    X(BEGIN, "BEGIN IMMEDIATE")                                                                              \
    X(COMMIT, "COMMIT")                                                                                      \
    X(ROLLBACK, "ROLLBACK")                                                                                  \
    X(ADD_ROUND,                                                                                             \
      "INSERT INTO round(federation, round, state, base_sequence, base_model, opened_ms, deadline_ms,"       \
      " slots, goal, grid) VALUES(?,?,0,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING")                              \
    X(ADD_ASSIGNMENT, "INSERT INTO assignment(id, federation, round, slot, device) VALUES(?,?,?,?,?)")       \
    X(CLOSE_ROUND,                                                                                           \
      "UPDATE round SET state=?, closed_ms=?, sequence=?, model=?, updates=?, dropped=?, examples=?,"        \
      " update_bytes=?, bytes_up=?, bytes_down=?, train_loss=? WHERE federation=? AND round=?")              \
    X(DROP_BODIES, "UPDATE contribution SET body=NULL WHERE federation=? AND round=?")                       \
    X(FORGET_UPDATES, "DELETE FROM contribution WHERE federation=? AND round<?")                             \
    X(FORGET_ASSIGNMENTS, "DELETE FROM assignment WHERE federation=? AND round<?")                           \
    X(FORGET_GRIDS, "UPDATE round SET grid=x'' WHERE federation=? AND round=?")                              \
    X(JUDGE_ROUND, "UPDATE round SET judged=1, loss=?, metric=? WHERE federation=? AND round=?")             \
    X(EACH_ROUND,                                                                                            \
      "SELECT " COVEY_LEDGER_ROUND_COLUMNS " FROM round WHERE federation=? AND round>=? ORDER BY round")     \
    X(READ_GRID, "SELECT grid FROM round WHERE federation=? AND round=?")                                    \
    X(EACH_ASSIGNMENT,                                                                                       \
      "SELECT slot, id, device FROM assignment WHERE federation=? AND round=? ORDER BY slot")                \
    X(EACH_PENDING,                                                                                          \
      "SELECT slot, id, device FROM assignment a WHERE federation=? AND round=? AND NOT EXISTS("             \
      "SELECT 1 FROM contribution c WHERE c.device=a.device AND c.assignment=a.id AND c.round<?)"            \
      " ORDER BY slot")                                                                                      \
    X(ADD_UPDATE,                                                                                            \
      "INSERT INTO contribution(" COVEY_LEDGER_UPDATE_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)"          \
      " ON CONFLICT(device, assignment) DO NOTHING")                                                         \
    X(FIND_UPDATE, "SELECT body_hash FROM contribution WHERE device=? AND assignment=?")                     \
    X(FIND_ASSIGNMENT, "SELECT federation, device, round FROM assignment WHERE id=?")                        \
    X(EACH_UPDATE, "SELECT " COVEY_LEDGER_UPDATE_COLUMNS " FROM contribution WHERE federation=? AND round=?" \
                   " AND body IS NOT NULL ORDER BY slot")                                                    \
    X(NOTE_DEVICE, "INSERT INTO device(name, place, first_seen_s, last_seen_s) VALUES(?1,?2,?3,?4)"          \
                   " ON CONFLICT(name) DO UPDATE SET place=?2, last_seen_s=max(last_seen_s, ?4)")            \
    X(EACH_DEVICE, "SELECT name, place, first_seen_s, last_seen_s FROM device ORDER BY place")               \
    X(NOTE_METRIC,                                                                                           \
      "INSERT INTO metric(federation, device, name, unit, value, noted_s) SELECT ?1,?2,?3,?4,?5,?6"          \
      " WHERE EXISTS(SELECT 1 FROM metric WHERE federation=?1 AND device=?2 AND name=?3)"                    \
      " OR (SELECT count(*) FROM metric WHERE federation=?1 AND device=?2)<?7"                               \
      " ON CONFLICT(federation, device, name) DO UPDATE SET unit=?4, value=?5, noted_s=?6")                  \
    X(EACH_METRIC, "SELECT name, min(unit), count(*), avg(value), min(value), max(value) FROM metric"        \
                   " WHERE federation=? AND value IS NOT NULL GROUP BY name ORDER BY name LIMIT 1000")       \
    X(NOTE_CHOSEN, "INSERT INTO standing(federation, device, chosen) VALUES(?,?,1)"                          \
                   " ON CONFLICT(federation, device) DO UPDATE SET chosen=chosen+1")                         \
    X(NOTE_UPDATE, "UPDATE standing SET last_round=?3, examples=?4, loss=?5, taken_ms="                      \
                   "max(0, ?6-(SELECT opened_ms FROM round WHERE federation=?1 AND round=?7))"               \
                   " WHERE federation=?1 AND device=?2")                                                     \
    X(EACH_STANDING,                                                                                         \
      "SELECT device, chosen, last_round, examples, taken_ms, loss FROM standing WHERE federation=?")        \
    X(SET_NOTE, "INSERT INTO note(federation, name, value) VALUES(?1,?2,?3)"                                 \
                " ON CONFLICT(federation, name) DO UPDATE SET value=?3")                                     \
    X(GET_NOTE, "SELECT value FROM note WHERE federation=? AND name=?")

enum covey_ledger_query {
#define COVEY_LEDGER_QUERY_NAME(name, text) COVEY_SQL_##name,
    COVEY_LEDGER_QUERIES(COVEY_LEDGER_QUERY_NAME)
#undef COVEY_LEDGER_QUERY_NAME
        COVEY_SQL_COUNT
};

#endif
