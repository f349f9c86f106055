#include "agent/model/job_name.hpp"

#include <array>
#include <string_view>

namespace berth::model {
namespace {

constexpr std::array<std::string_view, 256> kAdjectives{
    "airy",     "alert",    "alpine",   "amber",    "ample",   "amused",    "apt",       "arctic",   "ardent",
    "artful",   "astral",   "astute",   "autumn",   "awake",   "azure",     "balmy",     "beaming",  "blissful",
    "blithe",   "blooming", "bold",     "bonny",    "bouncy",  "brave",     "breezy",    "bright",   "brisk",
    "bronze",   "bubbly",   "bushy",    "busy",     "buzzing", "calm",      "candid",    "capable",  "careful",
    "caring",   "casual",   "cheerful", "cheery",   "chipper", "chirpy",    "civil",     "classic",  "clean",
    "clear",    "clever",   "cloudy",   "coastal",  "cobalt",  "comfy",     "copper",    "coral",    "cordial",
    "cosmic",   "cozy",     "crafty",   "creamy",   "crimson", "crisp",     "cuddly",    "curious",  "curly",
    "dainty",   "dapper",   "daring",   "dawn",     "deft",    "dewy",      "diligent",  "dreamy",   "driven",
    "eager",    "earnest",  "elated",   "elegant",  "epic",    "fair",      "faithful",  "famous",   "fancy",
    "fast",     "fearless", "feathery", "festive",  "fine",    "fleet",     "fluffy",    "fond",     "frank",
    "free",     "fresh",    "friendly", "frosty",   "funny",   "fuzzy",     "gallant",   "genial",   "gentle",
    "gifted",   "giving",   "glad",     "gleaming", "glossy",  "glowing",   "golden",    "graceful", "grand",
    "grateful", "green",    "handy",    "happy",    "hardy",   "hazel",     "hearty",    "helpful",  "heroic",
    "honest",   "hopeful",  "humble",   "ideal",    "ivory",   "jaunty",    "jazzy",     "jolly",    "jovial",
    "joyful",   "jubilant", "keen",     "kind",     "kindly",  "leafy",     "lemon",     "lilac",    "lively",
    "lofty",    "logical",  "loyal",    "lucid",    "lucky",   "lunar",     "magic",     "maple",    "marine",
    "mellow",   "merry",    "mighty",   "mild",     "minty",   "misty",     "modern",    "modest",   "mossy",
    "musical",  "neat",     "nifty",    "nimble",   "noble",   "northern",  "nutty",     "opal",     "orderly",
    "patient",  "peaceful", "pearly",   "peppy",    "perky",   "placid",    "plucky",    "plush",    "poetic",
    "poised",   "polar",    "polite",   "precise",  "proud",   "prudent",   "quick",     "quiet",    "quirky",
    "radiant",  "rapid",    "rare",     "ready",    "regal",   "relaxed",   "robust",    "rosy",     "rugged",
    "russet",   "rustic",   "sandy",    "sapphire", "savvy",   "scarlet",   "serene",    "sharp",    "shiny",
    "silky",    "silver",   "sincere",  "skilled",  "sleek",   "smart",     "smiling",   "smooth",   "snowy",
    "snug",     "soaring",  "sociable", "solar",    "solid",   "spirited",  "sprightly", "spry",     "stable",
    "starry",   "steady",   "stellar",  "stout",    "sturdy",  "subtle",    "sunlit",    "sunny",    "superb",
    "supple",   "sure",     "swift",    "tactful",  "tall",    "tender",    "thankful",  "thrifty",  "tidy",
    "timely",   "tireless", "tranquil", "trim",     "trusty",  "twinkling", "upbeat",    "urbane",   "valiant",
    "velvet",   "vernal",   "vibrant",  "vivid",    "warm",    "wise",      "witty",     "woody",    "worthy",
    "young",    "zany",     "zesty",    "zippy"};

constexpr std::array<std::string_view, 256> kAnimals{
    "aardvark",    "albatross", "alpaca",     "angelfish", "anteater",   "antelope",  "auk",         "avocet",
    "axolotl",     "badger",    "bandicoot",  "barbet",    "beagle",     "bear",      "beaver",      "bee",
    "beetle",      "bison",     "blackbird",  "bluebird",  "bobcat",     "bobolink",  "bongo",       "budgie",
    "buffalo",     "bullfinch", "bumblebee",  "bunny",     "bunting",    "bustard",   "buzzard",     "camel",
    "capybara",    "caracal",   "cardinal",   "caribou",   "carp",       "cassowary", "cat",         "catfish",
    "chameleon",   "chamois",   "cheetah",    "chickadee", "chinchilla", "chipmunk",  "cicada",      "civet",
    "coati",       "cockatoo",  "collie",     "condor",    "coot",       "corgi",     "cormorant",   "cougar",
    "coyote",      "crab",      "crane",      "cricket",   "crow",       "cuckoo",    "curlew",      "deer",
    "dipper",      "dodo",      "dog",        "dolphin",   "donkey",     "dormouse",  "dove",        "dragonfly",
    "duck",        "dugong",    "dunlin",     "eagle",     "egret",      "eider",     "eland",       "elephant",
    "elk",         "emu",       "ermine",     "falcon",    "fawn",       "ferret",    "finch",       "firefly",
    "flamingo",    "flounder",  "fox",        "frog",      "gannet",     "gazelle",   "gecko",       "gerbil",
    "gibbon",      "giraffe",   "godwit",     "goldfinch", "goose",      "gopher",    "goshawk",     "grebe",
    "grouse",      "guanaco",   "gull",       "guppy",     "haddock",    "halibut",   "hamster",     "hare",
    "harrier",     "hawk",      "hedgehog",   "heron",     "herring",    "hornbill",  "hummingbird", "husky",
    "hyrax",       "ibex",      "ibis",       "iguana",    "impala",     "jackal",    "jackdaw",     "jaguar",
    "jay",         "jerboa",    "kangaroo",   "kestrel",   "kingfisher", "kite",      "kitten",      "kiwi",
    "koala",       "koi",       "kookaburra", "kudu",      "ladybird",   "lamb",      "lapwing",     "lark",
    "lemming",     "lemur",     "leopard",    "linnet",    "lion",       "lizard",    "llama",       "lobster",
    "loon",        "loris",     "lynx",       "lyrebird",  "macaw",      "magpie",    "mallard",     "manatee",
    "mantis",      "marlin",    "marmot",     "marten",    "mastiff",    "meerkat",   "merlin",      "mink",
    "minnow",      "mongoose",  "moose",      "mouse",     "mule",       "myna",      "narwhal",     "newt",
    "nightingale", "numbat",    "nuthatch",   "ocelot",    "octopus",    "okapi",     "opossum",     "orca",
    "oryx",        "osprey",    "ostrich",    "otter",     "owl",        "oyster",    "panda",       "pangolin",
    "panther",     "parakeet",  "parrot",     "partridge", "peacock",    "pelican",   "penguin",     "petrel",
    "pheasant",    "pigeon",    "pika",       "platypus",  "plover",     "pony",      "porcupine",   "porpoise",
    "possum",      "puffin",    "puma",       "quail",     "quetzal",    "quokka",    "rabbit",      "raccoon",
    "raven",       "redstart",  "reindeer",   "robin",     "salmon",     "sandpiper", "seahorse",    "seal",
    "serval",      "sheep",     "skylark",    "sloth",     "snail",      "sparrow",   "squid",       "squirrel",
    "starling",    "stoat",     "stork",      "sturgeon",  "tamarin",    "tapir",     "tern",        "tiger",
    "toad",        "tortoise",  "trout",      "tuna",      "turtle",     "vole",      "wagtail",     "walrus",
    "warbler",     "weasel",    "whale",      "wombat",    "woodpecker", "wren",      "yak",         "zebra"};

constexpr std::string_view kLetters = "abcdefghjkmnpqrstuvwxyz23456789";  // without i, l, o, 0 and 1
constexpr int kLetterCount = 4;

}  // namespace

JobId job_name(std::uint64_t random) {
  std::string name(kAdjectives[random & 0xff]);
  name += '-';
  name += kAnimals[random >> 8 & 0xff];
  name += '-';
  random >>= 16;
  for (int i = 0; i < kLetterCount; ++i) {
    name += kLetters[random % kLetters.size()];
    random /= kLetters.size();
  }
  return JobId(std::move(name));
}

}  // namespace berth::model
