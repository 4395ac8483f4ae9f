-- The database of kvrecall, version 5: runs, their queue of samples, and every
-- event that they yielded. One kvrecall-server writes it; anybody may read it
-- at any time (sqlite3, pandas, DuckDB: start with the views `recalls` and
-- `gaps`).
-- common/METRICS.md defines every quantity. Times are microseconds since
-- 1970-01-01 UTC. A REAL is the double that was measured, bit for bit (but -0
-- is kept as 0). The one writer keeps the REFERENCES true; SQLite is not asked
-- to check them.

PRAGMA application_id = 0x6b767265;  -- "kvre"
PRAGMA user_version = 5;

-- What a client asked to measure, and what produced the numbers.
CREATE TABLE runs (
  id INTEGER PRIMARY KEY,        -- grows with creation
  run_id TEXT NOT NULL UNIQUE,   -- the API's name: 26 characters, sortable
  request_id TEXT NOT NULL UNIQUE,  -- the client's idempotency key
  body_digest TEXT NOT NULL,     -- SHA-256 of the request, to tell reuse
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'succeeded',
    'partially_failed', 'failed', 'cancelled')),
  config TEXT NOT NULL,          -- JSON, completed with the defaults used
  provenance TEXT NOT NULL,      -- JSON
  complete INTEGER NOT NULL DEFAULT 0,  -- 1: no samples will follow
  samples_submitted INTEGER NOT NULL DEFAULT 0,
  samples_done INTEGER NOT NULL DEFAULT 0,
  samples_failed INTEGER NOT NULL DEFAULT 0,
  last_sequence INTEGER NOT NULL DEFAULT 0,  -- events so far
  created_us INTEGER NOT NULL,
  ended_us INTEGER,              -- NULL while it goes on
  owner TEXT NOT NULL DEFAULT '',  -- who made it; '': nobody knows
  may_reuse INTEGER NOT NULL DEFAULT 0,  -- 1: see samples.record_key
  deadline_us INTEGER            -- what has not ended by then fails; NULL: never
) STRICT;

-- A run's samples; those in state 'queued' are the queue: owners take turns, and
-- of one owner's the oldest id comes first.
CREATE TABLE samples (
  id INTEGER PRIMARY KEY,        -- grows with submission, over all runs
  run INTEGER NOT NULL REFERENCES runs (id),
  -- Place in the run, from 1. A run that is one part of a study has gaps.
  ordinal INTEGER NOT NULL,
  sample_id TEXT NOT NULL,       -- LongBench's _id
  state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed',
    'cancelled')),
  attempt INTEGER NOT NULL DEFAULT 0,  -- times it was taken from the queue
  -- The attempt of its latest event; 0: no events. Readers use this one.
  recorded_attempt INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER REFERENCES epochs (epoch),  -- the server that took it last
  submitted_us INTEGER NOT NULL,
  leased_us INTEGER,
  ended_us INTEGER,
  -- From here on: known once the sample has started.
  prompt_tokens INTEGER,         -- after truncation and chat template
  raw_prompt_tokens INTEGER,     -- before both
  truncated INTEGER,             -- 1: the middle was cut out
  queue_seconds REAL,
  -- Known once it is done.
  generated_tokens INTEGER,
  text TEXT,
  score REAL,                    -- [0, 1]; NULL: the task has none
  finish_reason TEXT,            -- 'eos' or 'length'
  prefill_seconds REAL,
  decode_seconds REAL,
  -- Known once it has failed.
  error_reason TEXT,             -- UPPER_SNAKE
  error_message TEXT,
  -- Known once it is done: a JSON list, one score in [0, 1] per gap lane; NULL:
  -- the task has no score, the text was forced, or the run has no gap lanes.
  gap_scores TEXT,
  -- Known once it has started.
  length INTEGER,                -- words, as its file gives it; 0: it does not
  -- Times that a server ended without a word while it ran this sample.
  crashes INTEGER NOT NULL DEFAULT 0,
  owner TEXT NOT NULL DEFAULT '',  -- the run's
  cost INTEGER NOT NULL DEFAULT 1,  -- tokens, estimated; decides whose turn it is
  -- SHA-256 of all that its records follow from; NULL: not known. Where the run
  -- may reuse records, those of a finished sample with the same key are copied.
  record_key TEXT,
  -- Known once it has started: the run whose records these are; NULL: its own.
  reused_from TEXT,
  UNIQUE (run, sample_id),
  UNIQUE (run, ordinal)
) STRICT;

CREATE INDEX samples_queued ON samples (owner, id) WHERE state = 'queued';
CREATE INDEX samples_running ON samples (id) WHERE state = 'running';
CREATE INDEX samples_by_key ON samples (record_key) WHERE state = 'done';

-- The samples' inputs as JSON lines of LongBench. Apart from `samples`, so
-- that a change of state does not rewrite a long context.
CREATE TABLE sample_inputs (
  sample INTEGER PRIMARY KEY REFERENCES samples (id),
  payload TEXT NOT NULL
) STRICT;

-- One row each time that a server opened the database.
CREATE TABLE epochs (
  epoch INTEGER PRIMARY KEY,
  opened_us INTEGER NOT NULL
) STRICT;

-- The combinations that yield one recall per step, numbered from 0: by
-- policy, then scope, then budget, without the scopes that a policy is not
-- defined in.
CREATE TABLE lanes (
  run INTEGER NOT NULL REFERENCES runs (id),
  lane INTEGER NOT NULL,
  policy TEXT NOT NULL,          -- 'h2o', 'random(seed=7)'
  scope TEXT NOT NULL,           -- 'global', 'layer', 'head'
  budget TEXT NOT NULL,          -- '0.2', 'prompt:0.2', 'tokens:512'
  budget_kind TEXT NOT NULL CHECK (budget_kind IN ('current_ratio',
    'prompt_ratio', 'tokens')),
  budget_value REAL NOT NULL,    -- a ratio in (0, 1], or positions
  PRIMARY KEY (run, lane)
) STRICT, WITHOUT ROWID;

-- The lanes of the entropy gap, numbered from 0 in the configuration's order;
-- none where the run asked for none.
CREATE TABLE gap_lanes (
  run INTEGER NOT NULL REFERENCES runs (id),
  gap INTEGER NOT NULL,
  lane TEXT NOT NULL,            -- 'only_pred(h2o,0.1,layer)'
  kind TEXT NOT NULL CHECK (kind IN ('without_gold', 'only_pred')),
  policy TEXT,                   -- as in `lanes`; NULL: without_gold
  scope TEXT NOT NULL,           -- whose rows mask: 'global', 'layer', 'head'
  budget TEXT NOT NULL,          -- as in `lanes`
  budget_kind TEXT NOT NULL CHECK (budget_kind IN ('current_ratio',
    'prompt_ratio', 'tokens')),
  budget_value REAL NOT NULL,    -- a ratio in (0, 1], or positions
  PRIMARY KEY (run, gap)
) STRICT, WITHOUT ROWID;

-- A run's events carry one sequence, from 1, without gaps. Those that are a
-- decode step stand in `steps`, all others in `sample_events`.
CREATE TABLE steps (
  run INTEGER NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  sample INTEGER NOT NULL REFERENCES samples (id),
  attempt INTEGER NOT NULL,
  step INTEGER NOT NULL,         -- from 1
  n INTEGER NOT NULL,            -- positions attended, the step's own included
  token_id INTEGER NOT NULL,
  token TEXT NOT NULL,           -- text that the token completes
  entropy REAL NOT NULL,         -- nats
  logprob REAL NOT NULL,         -- nats
  p_max REAL NOT NULL,           -- (0, 1]
  margin REAL NOT NULL,          -- [0, 1]; p_max - the second
  attention_entropy REAL NOT NULL,      -- nats, mean over layers
  attention_entropy_std REAL NOT NULL,  -- nats, over layers
  PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;

-- One row per step and lane.
CREATE TABLE step_recalls (
  run INTEGER NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  lane INTEGER NOT NULL,
  k INTEGER NOT NULL,            -- positions held
  recall REAL NOT NULL,          -- [0, 1]
  chance REAL NOT NULL,          -- [0, 1]
  lift REAL,                     -- at most 1; NULL where chance is 1
  mass REAL NOT NULL,            -- [0, 1]
  mass_ratio REAL NOT NULL,      -- of the gold set's mass
  -- [0, 1], a little-endian float32 per layer; NULL in scope global.
  layer_recalls BLOB,
  recall_without_free_hits REAL, -- [0, 1]; NULL where all hits are free
  drift REAL,                    -- [0, 1]; NULL at step 1
  -- Positions, mean over rows; NULL: the policy loses nothing for good.
  fetched_back REAL,
  -- Gold positions that the policy does not hold, the most attended first, as a
  -- JSON list of [position, weight, token]; NULL: none, or not scope global.
  lost TEXT,
  PRIMARY KEY (run, sequence, lane)
) STRICT, WITHOUT ROWID;

-- One row per step and gap lane: the step's distribution p' with attention
-- limited, beside the oracle's p.
CREATE TABLE step_gaps (
  run INTEGER NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  gap INTEGER NOT NULL,
  kl REAL NOT NULL,              -- KL(p || p'), nats, at least 0
  entropy_change REAL NOT NULL,  -- H(p') - H(p), nats
  logprob_change REAL NOT NULL,  -- ln p'(y) - ln p(y) of the step's token, nats
  token_id INTEGER NOT NULL,     -- the most likely token of p'
  top1_agrees INTEGER NOT NULL,  -- 1: it is the most likely one of p too
  PRIMARY KEY (run, sequence, gap)
) STRICT, WITHOUT ROWID;

CREATE TABLE sample_events (
  run INTEGER NOT NULL REFERENCES runs (id),
  sequence INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('sample_started', 'sample_finished',
    'sample_failed', 'run_finished')),
  sample INTEGER REFERENCES samples (id),  -- NULL for run_finished
  attempt INTEGER NOT NULL,
  detail TEXT NOT NULL,          -- JSON
  PRIMARY KEY (run, sequence)
) STRICT, WITHOUT ROWID;

-- For analysis: one row per step and lane of each sample's last attempt.
--   run, sample     names as in the API
--   step, n         t from 1; positions attended
--   entropy         of the token, nats
--   policy, scope, budget, k   what was held
--   recall … lost   see common/METRICS.md; the last four and lift may be NULL
CREATE VIEW recalls AS
SELECT runs.run_id AS run, samples.sample_id AS sample,
       steps.attempt AS attempt, steps.step AS step, steps.n AS n,
       steps.token AS token, steps.entropy AS entropy,
       lanes.policy AS policy, lanes.scope AS scope, lanes.budget AS budget,
       step_recalls.k AS k, step_recalls.recall AS recall,
       step_recalls.chance AS chance, step_recalls.lift AS lift,
       step_recalls.mass AS mass, step_recalls.mass_ratio AS mass_ratio,
       step_recalls.recall_without_free_hits AS recall_without_free_hits,
       step_recalls.drift AS drift, step_recalls.fetched_back AS fetched_back,
       step_recalls.lost AS lost
FROM runs
JOIN steps ON steps.run = runs.id
JOIN samples ON samples.id = steps.sample
            AND samples.recorded_attempt = steps.attempt
JOIN step_recalls ON step_recalls.run = steps.run
                 AND step_recalls.sequence = steps.sequence
JOIN lanes ON lanes.run = step_recalls.run
          AND lanes.lane = step_recalls.lane;

-- For analysis: one row per step and gap lane of each sample's last attempt;
-- run, sample, step, policy, scope and budget join with `recalls`.
--   lane            as it was asked for: 'only_pred(h2o,0.1)'
--   policy          NULL for without_gold
--   kl … logprob_change        nats
--   gap_token_id, top1_agrees  most likely token of the lane; 1: the oracle's
CREATE VIEW gaps AS
SELECT runs.run_id AS run, samples.sample_id AS sample,
       steps.attempt AS attempt, steps.step AS step, steps.n AS n,
       steps.token AS token, steps.entropy AS entropy,
       gap_lanes.lane AS lane, gap_lanes.kind AS kind,
       gap_lanes.policy AS policy, gap_lanes.scope AS scope,
       gap_lanes.budget AS budget, step_gaps.kl AS kl,
       step_gaps.entropy_change AS entropy_change,
       step_gaps.logprob_change AS logprob_change,
       step_gaps.token_id AS gap_token_id,
       step_gaps.top1_agrees AS top1_agrees
FROM runs
JOIN steps ON steps.run = runs.id
JOIN samples ON samples.id = steps.sample
            AND samples.recorded_attempt = steps.attempt
JOIN step_gaps ON step_gaps.run = steps.run
              AND step_gaps.sequence = steps.sequence
JOIN gap_lanes ON gap_lanes.run = step_gaps.run
              AND gap_lanes.gap = step_gaps.gap;
