-- From version 4 to version 5: a run may have a time limit. schema.sql says what
-- the column means. Records stay as they are.

ALTER TABLE runs ADD COLUMN deadline_us INTEGER;

PRAGMA user_version = 5;
