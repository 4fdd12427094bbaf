-- The exchange's schema: users, orders, trades, and the matching engine.
-- Matching happens inside the database, so that an order, its trades and every status they change are one
-- transaction: after a crash there is never half a trade.

CREATE SCHEMA trading AUTHORIZATION trading_user;
SET ROLE trading_user;
SET search_path = trading;

CREATE TABLE users (
    user_id    uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE orders (
    order_id        uuid PRIMARY KEY,
    arrival         bigint GENERATED ALWAYS AS IDENTITY,  -- time priority; clocks may step, this may not
    user_id         uuid NOT NULL REFERENCES users,
    symbol          text NOT NULL,
    side            text NOT NULL CHECK (side IN ('BUY', 'SELL')),
    type            text NOT NULL CHECK (type IN ('LIMIT', 'MARKET')),
    quantity        decimal(20, 8) NOT NULL CHECK (quantity > 0),
    filled_quantity decimal(20, 8) NOT NULL DEFAULT 0 CHECK (filled_quantity BETWEEN 0 AND quantity),
    price           decimal(20, 8) CHECK (price > 0),
    status          text NOT NULL DEFAULT 'PENDING'
                    CHECK (status IN ('PENDING', 'PARTIALLY_FILLED', 'FILLED', 'CANCELLED')),
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (type = 'MARKET' OR price IS NOT NULL)
);
-- The book: only what is still open, so that it stays small however long the history grows.
CREATE INDEX book ON orders (symbol, side, price, arrival)
    WHERE status IN ('PENDING', 'PARTIALLY_FILLED') AND type = 'LIMIT';

CREATE TABLE trades (
    trade_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol        text NOT NULL,
    buy_order_id  uuid NOT NULL REFERENCES orders,
    sell_order_id uuid NOT NULL REFERENCES orders,
    quantity      decimal(20, 8) NOT NULL CHECK (quantity > 0),
    price         decimal(20, 8) NOT NULL,
    executed_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Match one stored order against the book: best price first, then the oldest; the resting order's price.
-- The caller holds the symbol's lock.
CREATE FUNCTION match_order(incoming orders) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    resting orders;
    open    decimal(20, 8) := incoming.quantity;
    fill    decimal(20, 8);
    outcome text;
BEGIN
    WHILE open > 0 LOOP
        IF incoming.side = 'BUY' THEN
            SELECT * INTO resting FROM orders o
             WHERE o.symbol = incoming.symbol AND o.side = 'SELL' AND o.type = 'LIMIT'
               AND o.status IN ('PENDING', 'PARTIALLY_FILLED')
               AND (incoming.type = 'MARKET' OR o.price <= incoming.price)
             ORDER BY o.price, o.arrival LIMIT 1;
        ELSE
            SELECT * INTO resting FROM orders o
             WHERE o.symbol = incoming.symbol AND o.side = 'BUY' AND o.type = 'LIMIT'
               AND o.status IN ('PENDING', 'PARTIALLY_FILLED')
               AND (incoming.type = 'MARKET' OR o.price >= incoming.price)
             ORDER BY o.price DESC, o.arrival LIMIT 1;
        END IF;
        EXIT WHEN NOT FOUND;
        fill := least(open, resting.quantity - resting.filled_quantity);
        INSERT INTO trades (symbol, buy_order_id, sell_order_id, quantity, price)
        VALUES (incoming.symbol,
                CASE incoming.side WHEN 'BUY' THEN incoming.order_id ELSE resting.order_id END,
                CASE incoming.side WHEN 'BUY' THEN resting.order_id ELSE incoming.order_id END,
                fill, resting.price);
        UPDATE orders o
           SET filled_quantity = o.filled_quantity + fill,
               status = CASE WHEN o.filled_quantity + fill = o.quantity THEN 'FILLED'
                             ELSE 'PARTIALLY_FILLED' END,
               updated_at = clock_timestamp()
         WHERE o.order_id = resting.order_id;
        open := open - fill;
    END LOOP;

    outcome := CASE WHEN open = 0 THEN 'FILLED'
                    WHEN incoming.type = 'MARKET' THEN 'CANCELLED'  -- what found no counterpart does not rest
                    WHEN open < incoming.quantity THEN 'PARTIALLY_FILLED'
                    ELSE 'PENDING' END;
    IF outcome <> 'PENDING' THEN
        UPDATE orders o SET filled_quantity = o.quantity - open, status = outcome, updated_at = clock_timestamp()
         WHERE o.order_id = incoming.order_id;
    END IF;
    RETURN outcome;
END $$;

-- Store and match a batch of orders of one symbol in one transaction.
--   An id that is there already is left alone: sending a batch again is safe.
--   `batch` is a JSON array of orders, one text: a driver has to ask a new connection for the make-up of every
--   array type first, which costs it more than placing the orders.
--   After its deadline an order is not stored any more: one whose sender has been told "failed" must not come
--   in late through a connection that was stuck.
-- Returns each id with its status, or UNKNOWN_USER, or TOO_LATE.
CREATE FUNCTION place_orders(of_symbol text, batch text) RETURNS TABLE (order_id uuid, outcome text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    sent   record;
    stored orders;
BEGIN
    -- One batch at a time per symbol: price and time priority have no meaning otherwise.
    PERFORM pg_advisory_xact_lock(hashtext(of_symbol));
    FOR sent IN
        SELECT * FROM json_to_recordset(batch::json) AS one (
            id uuid, "user" uuid, side text, type text, quantity numeric, price numeric, deadline timestamptz)
    LOOP
        IF clock_timestamp() > sent.deadline THEN
            RETURN QUERY SELECT sent.id, 'TOO_LATE';
            CONTINUE;
        END IF;
        IF NOT EXISTS (SELECT FROM users u WHERE u.user_id = sent."user") THEN
            RETURN QUERY SELECT sent.id, 'UNKNOWN_USER';
            CONTINUE;
        END IF;
        INSERT INTO orders AS o (order_id, user_id, symbol, side, type, quantity, price)
        VALUES (sent.id, sent."user", of_symbol, sent.side, sent.type, sent.quantity, sent.price)
        ON CONFLICT DO NOTHING RETURNING o.* INTO stored;
        IF FOUND THEN
            RETURN QUERY SELECT sent.id, match_order(stored);
        ELSE
            RETURN QUERY SELECT o.order_id, o.status FROM orders o WHERE o.order_id = sent.id;
        END IF;
    END LOOP;
END $$;

-- Cancel what is still open of an order; returns its status before, or no row if there is no such order.
CREATE FUNCTION cancel_order(which uuid) RETURNS TABLE (symbol text, was text) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known orders;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext(o.symbol)) FROM orders o WHERE o.order_id = which;
    SELECT * INTO known FROM orders o WHERE o.order_id = which;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF known.status IN ('PENDING', 'PARTIALLY_FILLED') THEN
        UPDATE orders o SET status = 'CANCELLED', updated_at = clock_timestamp() WHERE o.order_id = which;
    END IF;
    RETURN QUERY SELECT known.symbol, known.status;
END $$;

ALTER ROLE trading_user SET search_path = trading, public;

INSERT INTO users (user_id, name) VALUES
    ('c4a05000-0000-4000-8000-000000000001', 'chaos'),
    ('7e57ab1e-0000-4000-8000-000000000001', 'alice'),
    ('7e57ab1e-0000-4000-8000-000000000002', 'bob'),
    ('7e57ab1e-0000-4000-8000-000000000003', 'carol'),
    ('7e57ab1e-0000-4000-8000-000000000004', 'dave'),
    ('7e57ab1e-0000-4000-8000-000000000005', 'erin');
