"""The tables of the shop. Prices are cents; lists of options are words with commas between."""

from __future__ import annotations

DDL = """
CREATE TABLE product (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, brand TEXT NOT NULL, category TEXT NOT NULL,
    price INTEGER NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0), sizes TEXT NOT NULL,
    colours TEXT NOT NULL, about TEXT NOT NULL
);
CREATE TABLE review (
    id INTEGER PRIMARY KEY, product INTEGER NOT NULL REFERENCES product(id),
    customer INTEGER, author TEXT NOT NULL, stars INTEGER NOT NULL CHECK (stars BETWEEN 1 AND 5),
    title TEXT NOT NULL, body TEXT NOT NULL, day TEXT NOT NULL
);
CREATE INDEX review_product ON review(product);
CREATE VIEW item AS
    SELECT product.*, (SELECT AVG(stars) FROM review WHERE product = product.id) AS rating,
    (SELECT COUNT(*) FROM review WHERE product = product.id) AS reviews FROM product;
CREATE TABLE customer (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password TEXT NOT NULL,
    phone TEXT NOT NULL, newsletter INTEGER NOT NULL
);
CREATE TABLE address (
    id INTEGER PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer(id), label TEXT NOT NULL,
    street TEXT NOT NULL, postcode TEXT NOT NULL, city TEXT NOT NULL
);
CREATE TABLE session (token TEXT PRIMARY KEY, customer INTEGER, note TEXT NOT NULL DEFAULT '');
CREATE TABLE cart_line (
    owner TEXT NOT NULL, product INTEGER NOT NULL REFERENCES product(id), size TEXT NOT NULL,
    colour TEXT NOT NULL, quantity INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (owner, product, size, colour)
);
CREATE TABLE cart_coupon (owner TEXT PRIMARY KEY, code TEXT NOT NULL REFERENCES coupon(code));
CREATE TABLE coupon (
    code TEXT PRIMARY KEY, percent INTEGER NOT NULL, amount INTEGER NOT NULL,
    minimum INTEGER NOT NULL, last_day TEXT NOT NULL
);
CREATE TABLE checkout (
    customer INTEGER PRIMARY KEY, address INTEGER, shipping TEXT NOT NULL DEFAULT '',
    payment TEXT NOT NULL DEFAULT ''
);
CREATE TABLE wish (customer INTEGER NOT NULL, product INTEGER NOT NULL,
    PRIMARY KEY (customer, product));
CREATE TABLE purchase (
    number INTEGER PRIMARY KEY, customer INTEGER NOT NULL, day TEXT NOT NULL, status TEXT NOT NULL,
    address TEXT NOT NULL, shipping TEXT NOT NULL, payment TEXT NOT NULL, coupon TEXT NOT NULL,
    goods INTEGER NOT NULL, discount INTEGER NOT NULL, delivery INTEGER NOT NULL
);
CREATE TABLE purchase_line (
    purchase INTEGER NOT NULL REFERENCES purchase(number), product INTEGER NOT NULL,
    size TEXT NOT NULL, colour TEXT NOT NULL, quantity INTEGER NOT NULL, price INTEGER NOT NULL,
    returned TEXT NOT NULL DEFAULT '', PRIMARY KEY (purchase, product, size, colour)
);
CREATE TABLE message (
    id INTEGER PRIMARY KEY, email TEXT NOT NULL, topic TEXT NOT NULL, body TEXT NOT NULL
);
"""
