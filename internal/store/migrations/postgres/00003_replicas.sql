-- +goose Up

-- The processes that work on this store, each under the name with which its
-- leases begin. A process holds the advisory lock of its row for as long as its
-- session lives; a row without a holder is that of a process to be buried.
CREATE TABLE replicas (
    name           TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    lock           BIGINT           NOT NULL,
    sessions       TEXT COLLATE "C" NOT NULL,
    pid            BIGINT           NOT NULL,
    since          BIGINT           NOT NULL,
    seen_at        BIGINT           NOT NULL
);
