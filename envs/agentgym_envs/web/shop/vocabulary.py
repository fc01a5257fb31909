"""The words that products, people and reviews are made of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shelf:
    """One category: what it holds, its options, and its prices in dollars, lowest and highest."""

    name: str
    nouns: tuple[str, ...]
    prices: tuple[int, int]
    sizes: tuple[str, ...] = ()
    colours: tuple[str, ...] = ()


SHELVES = (
    Shelf("Bags", ("Backpack", "Tote", "Duffel", "Satchel"), (25, 160), (),
          ("black", "olive", "sand")),
    Shelf("Clothing", ("Rain Jacket", "Fleece", "Parka", "Cardigan"), (30, 220),
          ("S", "M", "L", "XL"), ("red", "blue", "green", "grey")),
    Shelf("Shoes", ("Trail Shoe", "Sandal", "Boot", "Sneaker"), (35, 190),
          ("38", "39", "40", "41", "42", "43"), ("black", "brown", "white")),
    Shelf("Kitchen", ("Mug", "Kettle", "Teapot", "Pan"), (8, 90), (), ("white", "blue", "yellow")),
    Shelf("Lighting", ("Desk Lamp", "Lantern", "Torch", "Floor Lamp"), (12, 140)),
    Shelf("Stationery", ("Notebook", "Fountain Pen", "Planner", "Pencil Case"), (4, 60)),
    Shelf("Camping", ("Tent", "Sleeping Bag", "Camp Stove", "Hammock"), (20, 320)),
    Shelf("Garden", ("Watering Can", "Trowel", "Planter", "Hose Reel"), (6, 80)),
)  # fmt: skip
BRANDS = (
    "Alder", "Brindle", "Corvane", "Dunmore", "Eastholm", "Fenwick", "Grovera", "Halden",
)  # fmt: skip
STYLES = (
    "Classic", "Compact", "Alpine", "Harbour", "Meadow", "Nordic", "Summit", "Willow",
    "Everyday", "Pioneer", "Studio", "Heritage", "Breeze", "Drift", "Orchard", "Voyager",
)  # fmt: skip
CATEGORIES = tuple(shelf.name for shelf in SHELVES)

FIRST_NAMES = (
    "Mira", "Jonas", "Elif", "Tomas", "Ingrid", "Pavel", "Noor", "Hugo", "Sena", "Arvid",
    "Bruna", "Kwame", "Leonie", "Mateo", "Yuna", "Oskar",
)  # fmt: skip
LAST_NAMES = (
    "Albrecht", "Barros", "Castell", "Demir", "Eklund", "Fischer", "Gruber", "Hale", "Ito",
    "Jansen", "Kovac", "Lindt",
)  # fmt: skip
STREETS = (
    "Oak Street", "Mill Lane", "Harbour Road", "Station Square", "Linden Avenue", "Bridge Street",
    "Garden Row", "Chapel Hill",
)  # fmt: skip
CITIES = (
    ("10115", "Lindau"), ("20457", "Westhaven"), ("30159", "Marburg"), ("50667", "Oldport"),
    ("70173", "Kronach"), ("80331", "Eastbrook"),
)  # fmt: skip
PASSWORD_WORDS = (
    "copper", "lantern", "marble", "thistle", "harvest", "pebble", "saffron", "timber", "velvet",
    "walnut",
)  # fmt: skip

VERDICTS = {
    1: ("Very disappointing", "It broke within a week. I would not buy it again."),
    2: ("Not what I hoped for", "It works, but it feels cheap and the finish is poor."),
    3: ("It does the job", "Neither good nor bad. You get what you pay for."),
    4: ("Good value", "Well made. Only the packaging could have been better."),
    5: ("Excellent", "I use it every day and I am very happy with it."),
}
"""A review's title and text by its number of stars."""
