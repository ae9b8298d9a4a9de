/* keyfast-agent.exe: the agent's command line, run by the Python that lies beside it. */
#include "launcher.h"

#include <stdio.h>
#include <stdlib.h>
#include <wchar.h>

/* The build names the DLL of the Python it ships. */
#ifndef PYTHON_DLL
#error "PYTHON_DLL is not defined"
#endif

typedef int (*python_main)(int, wchar_t **);

/* Bytecode is never written, the environment never read; the ._pth file beside the DLL says what is imported. */
static wchar_t *const PREFIX[] = {L"-I", L"-B", L"-X", L"utf8", L"-m", L"keyfast.agent.main"};
#define PREFIX_COUNT (sizeof PREFIX / sizeof *PREFIX)

static HMODULE load_python(void) {
  wchar_t path[PATH_ROOM];
  DWORD length = GetModuleFileNameW(NULL, path, PATH_ROOM);
  wchar_t *name = length && length < PATH_ROOM ? wcsrchr(path, L'\\') : NULL;
  if (!name || (size_t)(name - path) + wcslen(PYTHON_DLL) + 2 > PATH_ROOM) return NULL;
  wcscpy(name + 1, PYTHON_DLL);
  return LoadLibraryExW(path, NULL, LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_SYSTEM32);
}

int run_python(int count, wchar_t **arguments) {
  HMODULE dll = load_python();
  python_main run = dll ? (python_main)(void (*)(void))GetProcAddress(dll, "Py_Main") : NULL;
  size_t given = count > 1 ? (size_t)count - 1 : 0;
  wchar_t **line = calloc(1 + PREFIX_COUNT + given + 1, sizeof *line);
  if (!run || !line) {
    fprintf(stderr, "keyfast-agent: Python cannot be loaded (error %lu); repair the installation\n", GetLastError());
    return EXIT_NO_PYTHON;
  }
  line[0] = arguments[0];
  for (size_t n = 0; n < PREFIX_COUNT; n++) line[1 + n] = PREFIX[n];
  for (size_t n = 0; n < given; n++) line[1 + PREFIX_COUNT + n] = arguments[1 + n];
  return run((int)(1 + PREFIX_COUNT + given), line);
}

int wmain(int count, wchar_t **arguments) {
  /* Nobody's current folder or PATH is searched for DLLs: this runs as SYSTEM. */
  SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
  if (count == 2 && !wcscmp(arguments[1], L"--service")) return run_service();
  if (count == 3 && !wcscmp(arguments[1], L"--logged")) return run_logged(arguments[2]);
  if (count == 2 && !wcscmp(arguments[1], L"--protect-packages")) return protect_packages() != NO_ERROR;
  return run_python(count, arguments);
}
