"""Include arrows point one way (messages <- model <- cores <- actors <- launcher), and what a layer must not know stays out.

Forbidden system headers are looked for in everything that a file includes, directly or through our own headers.
"""

import re

import tree

TORCH = r"torch/|ATen/|c10/"
CAF = r"caf/"
WIRE = r"capnp/|kj/"
OUTSIDE_WORLD = (r"thread$|mutex$|shared_mutex$|condition_variable$|future$|semaphore$|stop_token$|latch$|barrier$"
                 r"|chrono$|ctime$|time\.h$|sys/time\.h$"
                 r"|sys/socket\.h$|sys/un\.h$|netinet/|arpa/|netdb\.h$|poll\.h$|sys/epoll\.h$|unistd\.h$")

CORE_RULE = ("", "messages model actors", f"{TORCH}|{CAF}|{WIRE}|{OUTSIDE_WORLD}")
# (files, folders they may include, system headers they must not reach). The first row that matches counts.
RULES = [
    # All threads of a process share its recycled memory, of which there is more where the machine has more.
    (r"messages/memory_shelves\.", "messages",
     f"{TORCH}|{CAF}|{WIRE}|{OUTSIDE_WORLD}".replace("|mutex$", "").replace(r"|unistd\.h$", "")),
    (r"messages/blob\.cpp$", "messages", f"{TORCH}|{CAF}|{WIRE}|{OUTSIDE_WORLD}".replace("|mutex$", "")),
    (r"messages/.*(\.cpp|_detail\.hpp)$", "messages", f"{TORCH}|{CAF}|{OUTSIDE_WORLD}"),
    (r"messages/", "messages", f"{TORCH}|{CAF}|{WIRE}|{OUTSIDE_WORLD}"),
    (r"model/torch/", "messages model", f"{CAF}|{WIRE}"),
    (r"model/", "messages model", f"{TORCH}|{CAF}|{WIRE}"),
    (r"actors/", "messages model actors", f"{TORCH}|{WIRE}"),
    (r"simulation/", "messages model actors simulation", f"{TORCH}|{CAF}|{WIRE}"),
    (r"launcher/", "messages model actors launcher", f"{TORCH}|{WIRE}"),
    (r"conformance/", "messages model actors launcher conformance", WIRE),
    (r"examples/", "messages model actors launcher examples", WIRE),
    (r"bench/", "messages model actors launcher bench", WIRE),
    (r"tests/", "messages model actors simulation launcher conformance examples tests", "(?!)"),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)', re.MULTILINE)


def includes(root, path):
    """(our headers, system headers) that one file names."""
    pairs = INCLUDE.findall(tree.text(root, path))
    return [ours for ours, _ in pairs if ours], [system for _, system in pairs if system]


def cores(root):
    """The sources of the library of cores, and the headers beside them."""
    listed = re.search(r"troupe_library\(cores\s+SOURCES\s([^)]*)\)", tree.text(root, "actors/CMakeLists.txt"))
    names = re.split(r"\b[A-Z]+\b", listed.group(1))[0].split()
    return {"actors/" + re.sub(r"\.cpp$", end, name) for name in names for end in (".cpp", ".hpp")}


def check(root):
    paths = set(tree.sources(root)) | {path for path in tree.files(root) if path.endswith(".inc")}
    schemas = {path + ".h" for path in tree.files(root) if path.endswith(".capnp")}
    core_paths = cores(root)
    direct = {path: includes(root, path) for path in paths}
    problems = []

    def first_forbidden(path, pattern, seen):
        """How `path` reaches a forbidden system header: a list of names, or None."""
        for system in direct[path][1]:
            if pattern.match(system):
                return [f"<{system}>"]
        for ours in direct[path][0]:
            if ours in direct and ours not in seen:
                seen.add(ours)
                chain = first_forbidden(ours, pattern, seen)
                if chain:
                    return [ours] + chain
        return None

    for path in sorted(paths):
        rule = next((rule for rule in RULES if re.match(rule[0], path)), None)
        if path in core_paths:
            rule = CORE_RULE
        if rule is None:
            problems.append(f"{path}: lies in no known layer")
            continue
        allowed = rule[1].split()
        for ours in direct[path][0]:
            if ours not in paths and ours not in schemas and not ours.endswith("_generated.hpp"):
                problems.append(f'{path}: includes "{ours}", which is not a path from the root')
            elif ours.split("/")[0] not in allowed:
                problems.append(f'{path}: includes "{ours}", may use {", ".join(allowed)}')
            elif ours in schemas and not re.match(r"messages/.*(\.cpp|_detail\.hpp)$|tests/", path):
                problems.append(f'{path}: includes "{ours}"; only messages/*.cpp and *_detail.hpp know the wire format')
        chain = first_forbidden(path, re.compile(rule[2]), {path})
        if chain:
            problems.append(f"{path}: reaches {' -> '.join(chain)}, which its layer must not know")
    return problems, []


if __name__ == "__main__":
    tree.run(check, "The layers are explained in README.md; move the code, or the dependency, one layer up.")
