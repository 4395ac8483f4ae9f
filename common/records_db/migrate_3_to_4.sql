-- From version 3 to version 4: whose run it is, what a sample costs, and whose
-- records may stand for another's. schema.sql says what the columns mean. Records
-- stay as they are.

ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN may_reuse INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE samples ADD COLUMN cost INTEGER NOT NULL DEFAULT 1;
ALTER TABLE samples ADD COLUMN record_key TEXT;
ALTER TABLE samples ADD COLUMN reused_from TEXT;

DROP INDEX samples_queued;
CREATE INDEX samples_queued ON samples (owner, id) WHERE state = 'queued';
CREATE INDEX samples_by_key ON samples (record_key) WHERE state = 'done';

PRAGMA user_version = 4;
