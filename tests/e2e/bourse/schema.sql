-- What the exchange keeps: its members, what they trade, and their orders.
CREATE SCHEMA trades;
CREATE TYPE trades.way AS ENUM ('bid', 'ask');
CREATE TABLE trades.members (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, handle text NOT NULL UNIQUE);
CREATE TABLE trades.instruments (instrument text PRIMARY KEY, currency text NOT NULL);
CREATE TABLE trades.order_entries (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id integer NOT NULL REFERENCES trades.members (id),
    instrument text NOT NULL REFERENCES trades.instruments (instrument),
    direction trades.way NOT NULL,
    amount numeric(20, 8) NOT NULL,
    limit_price numeric(18, 6) NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'done', 'withdrawn')),
    entered_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX ON trades.order_entries (instrument, direction, limit_price) WHERE state = 'open';

-- One order: matched with the oldest that waits at the best price and is as large, else it waits itself.
CREATE FUNCTION trades.place(member integer, what text, way trades.way, size numeric, price numeric)
RETURNS TABLE (id bigint, state text) LANGUAGE plpgsql AS $$
DECLARE
    other bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(what));
    SELECT o.id INTO other FROM trades.order_entries o
    WHERE o.instrument = what AND o.state = 'open' AND o.direction <> way AND o.amount = size
      AND (CASE way WHEN 'bid' THEN o.limit_price <= price ELSE o.limit_price >= price END)
    ORDER BY CASE way WHEN 'bid' THEN o.limit_price ELSE -o.limit_price END, o.id LIMIT 1 FOR UPDATE;
    IF other IS NOT NULL THEN
        UPDATE trades.order_entries o SET state = 'done' WHERE o.id = other;
    END IF;
    RETURN QUERY INSERT INTO trades.order_entries AS o (account_id, instrument, direction, amount, limit_price, state)
    VALUES (member, what, way, size, price, CASE WHEN other IS NULL THEN 'open' ELSE 'done' END)
    RETURNING o.id, o.state;
END $$;

INSERT INTO trades.members (handle) VALUES ('northwind'), ('albatros'), ('desk-test'), ('kestrel');
INSERT INTO trades.instruments VALUES ('ACME', 'EUR'), ('GLOBEX', 'EUR'), ('TESTCO', 'EUR');
-- A day of other members' business.
INSERT INTO trades.order_entries (account_id, instrument, direction, amount, limit_price, state)
SELECT 1 + n % 2, (ARRAY['ACME', 'GLOBEX'])[1 + n % 2], (ARRAY['bid', 'ask']::trades.way[])[1 + n % 2], 5, 80 + n % 7, 'done'
FROM generate_series(1, 200) n;
