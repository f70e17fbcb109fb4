"""Files of at most 500 lines, functions of at most 70: split by idea before that. Long files are listed."""

import re

import tree

FILE_LINES_MAX = 500
FILE_LINES_NOTED = 300
FUNCTION_LINES_MAX = 70
IGNORED = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)
SCOPE = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b[^()]*$")

INITIALISER_END = re.compile(r"[{](?=[^\n{};]*[}]\s*[,{])|[}]\s*[,{]")  # the braces of: f(int a) : a_{a}, b_{1} {


def functions(source):
    """(first line, length) of each outermost function body: braces that are no namespace, class, or the like."""
    source = IGNORED.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), source)
    start, depth_in_function, opened_at = 0, 0, 0
    for match in re.finditer(r"[{};]", source):
        line = source.count("\n", 0, match.start()) + 1
        if match.group() == "{":
            if depth_in_function:
                depth_in_function += 1
            elif "(" in source[start:match.start()] and not SCOPE.search(source[start:match.start()]):
                depth_in_function, opened_at = 1, line
        elif match.group() == "}" and depth_in_function:
            depth_in_function -= 1
            if depth_in_function == 0:
                yield opened_at, line - opened_at + 1
        if not INITIALISER_END.match(source, match.start()):
            start = match.end()


def check(root):
    problems, remarks = [], []
    for path in tree.sources(root):
        source = tree.text(root, path)
        lines = source.count("\n")
        if lines > FILE_LINES_MAX:
            problems.append(f"{path}: {lines} lines, limit {FILE_LINES_MAX}")
        elif lines > FILE_LINES_NOTED:
            remarks.append(f"{path}: {lines} lines")
        for line, length in functions(source):
            if length > FUNCTION_LINES_MAX:
                problems.append(f"{path}:{line}: function of {length} lines, limit {FUNCTION_LINES_MAX}")
    return problems, remarks


if __name__ == "__main__":
    tree.run(check, "Split by idea.")
