CREATE TABLE IF NOT EXISTS orders (id bigint PRIMARY KEY, customer bigint NOT NULL);
CREATE TABLE IF NOT EXISTS labels (id bigint PRIMARY KEY, name text NOT NULL);
