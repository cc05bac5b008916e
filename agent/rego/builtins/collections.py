"""Arrays, sets, objects, graphs."""

from agent.rego.builtins import Context
from agent.rego.builtins import arguments as take
from agent.rego.values import Object, Set, Value, rank, same


def array_concat(_: Context, left: Value, right: Value) -> Value:
    return take.array(left) + take.array(right)


def array_reverse(_: Context, value: Value) -> Value:
    return take.array(value)[::-1]


def array_slice(_: Context, value: Value, start: Value, stop: Value) -> Value:
    first, last = max(0, take.whole(start)), max(0, take.whole(stop))
    return take.array(value)[first:last]


def internal_member_2(_: Context, value: Value, collection: Value) -> Value:
    if isinstance(collection, Set):
        return value in collection
    if isinstance(collection, tuple):
        return any(same(each, value) for each in collection)
    if isinstance(collection, Object):
        return any(same(each, value) for _, each in collection)
    return False


def internal_member_3(_: Context, key: Value, value: Value, collection: Value) -> Value:
    if isinstance(collection, Set):
        return same(key, value) and key in collection
    if isinstance(collection, tuple):
        found = isinstance(key, int) and not isinstance(key, bool) and 0 <= key < len(collection)
        return found and same(collection[key], value)
    if isinstance(collection, Object):
        pair = collection.get(key)
        return pair is not None and same(pair[1], value)
    return False


def intersection(_: Context, sets: Value) -> Value:
    every = [take.a_set(each) for each in take.a_set(sets)]
    return Set(value for value in (every[0] if every else ()) if all(value in each for each in every))


def union(_: Context, sets: Value) -> Value:
    return Set(value for each in take.a_set(sets) for value in take.a_set(each))


def set_diff(_: Context, left: Value, right: Value) -> Value:
    others = take.a_set(right)
    return Set(value for value in take.a_set(left) if value not in others)


def object_get(_: Context, value: Value, key: Value, default: Value) -> Value:
    """`key` may be an array: a path, of which each object or array on the way takes one step."""
    take.an_object(value)
    if not isinstance(key, tuple):
        pair = value.get(key)
        return default if pair is None else pair[1]
    for step in key:
        if isinstance(value, Object):
            pair = value.get(step)
            if pair is None:
                return default
            value = pair[1]
        elif (
            isinstance(value, tuple) and isinstance(step, int) and not isinstance(step, bool) and 0 <= step < len(value)
        ):
            value = value[step]
        elif isinstance(value, Set) and step in value:
            value = step
        else:
            return default
    return value


def object_keys(_: Context, value: Value) -> Value:
    return Set(key for key, _ in take.an_object(value))


def object_remove(_: Context, value: Value, keys: Value) -> Value:
    gone = _keys(keys)
    return Object(pair for each, pair in take.an_object(value).pairs.items() if each not in gone)


def object_filter(_: Context, value: Value, keys: Value) -> Value:
    kept = _keys(keys)
    return Object(pair for each, pair in take.an_object(value).pairs.items() if each in kept)


def _keys(keys: Value) -> set[tuple[object, ...]]:
    return set(keys.pairs) if isinstance(keys, Object) else {rank(each) for each in take.members(keys)}


def object_union(_: Context, left: Value, right: Value) -> Value:
    return _merged(take.an_object(left), take.an_object(right))


def object_union_n(_: Context, objects: Value) -> Value:
    merged = Object()
    for each in take.array(objects):
        merged = _merged(merged, take.an_object(each))
    return merged


def _merged(left: Object, right: Object) -> Object:
    """The keys of both; where both have an object, these are merged, else the right one's value counts."""
    merged = Object(left)
    for key, value in right:
        before = merged.get(key)
        if before is not None and isinstance(before[1], Object) and isinstance(value, Object):
            value = _merged(before[1], value)
        merged.pairs[rank(key)] = (key, value)
    return merged


def object_subset(_: Context, whole: Value, part: Value) -> Value:
    if isinstance(whole, Object) and isinstance(part, Object):
        return _is_part(whole, part)
    if isinstance(whole, Set) and isinstance(part, Set):
        return all(each in whole for each in part)
    if isinstance(whole, tuple) and isinstance(part, tuple):
        starts = range(len(whole) - len(part) + 1)
        return any(all(same(a, b) for a, b in zip(whole[start:], part, strict=False)) for start in starts)
    if isinstance(whole, tuple) and isinstance(part, Set):
        return all(any(same(each, other) for other in whole) for each in part)
    raise take.wrong(part, "two objects, two sets, two arrays, or an array and a set")


def _is_part(whole: Object, part: Object) -> bool:
    for key, value in part:
        pair = whole.get(key)
        if pair is None:
            return False
        if isinstance(pair[1], Object) and isinstance(value, Object):
            if not _is_part(pair[1], value):
                return False
        elif isinstance(pair[1], (Set, tuple)) and type(pair[1]) is type(value):
            if not object_subset(Context(0), pair[1], value):
                return False
        elif not same(pair[1], value):
            return False
    return True


def json_filter(_: Context, value: Value, paths: Value) -> Value:
    return _kept(take.an_object(value), _paths(paths))


def json_remove(_: Context, value: Value, paths: Value) -> Value:
    return _removed(take.an_object(value), _paths(paths))


def _paths(paths: Value) -> list[tuple[Value, ...]]:
    """Paths as arrays, or as texts with slashes."""
    found = []
    for each in take.members(paths):
        if isinstance(each, str):
            steps = each.lstrip("/").split("/")
            found.append(tuple(step.replace("~1", "/").replace("~0", "~") for step in steps))
        else:
            found.append(take.array(each))
    return found


def _parts(value: Value) -> list[tuple[Value, Value]]:
    return [(str(i), each) for i, each in enumerate(value)] if isinstance(value, tuple) else list(value)


def _same_step(step: Value, key: Value) -> bool:
    return same(step, key) or (isinstance(step, int) and not isinstance(step, bool) and str(step) == key)


def _kept(value: Value, paths: list[tuple[Value, ...]]) -> Value:
    if any(not path for path in paths) or not isinstance(value, (Object, tuple)):
        return value
    found = []
    for key, each in _parts(value):
        below = [path[1:] for path in paths if _same_step(path[0], key)]
        if below:
            found.append((key, _kept(each, below)))
    return tuple(each for _, each in found) if isinstance(value, tuple) else Object(found)


def _removed(value: Value, paths: list[tuple[Value, ...]]) -> Value:
    if not paths or not isinstance(value, (Object, tuple)):
        return value
    found = []
    for key, each in _parts(value):
        below = [path[1:] for path in paths if path and _same_step(path[0], key)]
        if all(below):
            found.append((key, _removed(each, below)))
    return tuple(each for _, each in found) if isinstance(value, tuple) else Object(found)


def graph_reachable(_: Context, graph: Value, start: Value) -> Value:
    """The nodes that can be reached from `start`'s; only those that the graph has."""
    edges = take.an_object(graph)
    waiting, found = take.members(start), Set()
    while waiting:
        node = waiting.pop()
        pair = edges.get(node)
        if pair is not None and node not in found:
            found.members[rank(node)] = node
            waiting += take.members(pair[1])
    return found
