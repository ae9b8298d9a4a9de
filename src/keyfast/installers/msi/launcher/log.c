/* The log of the service: %ProgramData%\Keyfast\Agent\log\agent.log, and the one before it. */
#include "launcher.h"

#include <aclapi.h>
#include <sddl.h>
#include <shlobj.h>
#include <stdio.h>
#include <wchar.h>

#define LARGEST (1024 * 1024)

/* SYSTEM and the administrators, and nobody by inheritance. */
static const wchar_t OURS[] = L"O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";

static wchar_t folder[PATH_ROOM];
static HANDLE file = INVALID_HANDLE_VALUE;
static CRITICAL_SECTION turn;

/* Tells whether somebody is the user of this process: SYSTEM, when it is the service or an installer's. */
static BOOL is_this_user(PSID who) {
  union {
    TOKEN_USER user;
    BYTE room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
  } told;
  HANDLE token;
  DWORD size = 0;
  if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token)) return FALSE;
  BOOL same = GetTokenInformation(token, TokenUser, &told, sizeof told, &size) && EqualSid(who, told.user.User.Sid);
  CloseHandle(token);
  return same;
}

/* Tells whether a folder is a real one that we or an administrator made: anybody may make folders in ProgramData. */
static BOOL is_ours(const wchar_t *path) {
  DWORD attributes = GetFileAttributesW(path);
  PSID owner = NULL;
  PSECURITY_DESCRIPTOR descriptor = NULL;
  if (attributes == INVALID_FILE_ATTRIBUTES || attributes & FILE_ATTRIBUTE_REPARSE_POINT) return FALSE;
  if (GetNamedSecurityInfoW(path, SE_FILE_OBJECT, OWNER_SECURITY_INFORMATION, &owner, NULL, NULL, NULL, &descriptor))
    return FALSE;
  BOOL ours = is_this_user(owner) || IsWellKnownSid(owner, WinLocalSystemSid) ||
              IsWellKnownSid(owner, WinBuiltinAdministratorsSid);
  LocalFree(descriptor);
  return ours;
}

static BOOL make_folder(const wchar_t *name) {
  SECURITY_ATTRIBUTES closed = {.nLength = sizeof closed};
  size_t length = wcslen(folder);
  if (length + wcslen(name) + 1 > PATH_ROOM) return FALSE;
  wcscpy(folder + length, name);
  if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(OURS, SDDL_REVISION_1, &closed.lpSecurityDescriptor, NULL))
    return FALSE;
  BOOL made = CreateDirectoryW(folder, &closed);
  BOOL there = !made && GetLastError() == ERROR_ALREADY_EXISTS;
  LocalFree(closed.lpSecurityDescriptor);
  return made || (there && is_ours(folder));
}

static HANDLE open_file(void) {
  wchar_t path[PATH_ROOM + 16];
  swprintf(path, sizeof path / sizeof *path, L"%ls\\agent.log", folder);
  return CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_ALWAYS,
                     FILE_ATTRIBUTE_NORMAL, NULL);
}

static void move_aside(void) {
  wchar_t now[PATH_ROOM + 16], before[PATH_ROOM + 16];
  swprintf(now, sizeof now / sizeof *now, L"%ls\\agent.log", folder);
  swprintf(before, sizeof before / sizeof *before, L"%ls\\agent.1.log", folder);
  CloseHandle(file);
  MoveFileExW(now, before, MOVEFILE_REPLACE_EXISTING);
  file = open_file();
}

void log_open(void) {
  wchar_t *data = NULL;
  InitializeCriticalSection(&turn);
  /* Not the environment: a service's may name another folder. */
  if (SHGetKnownFolderPath(&FOLDERID_ProgramData, 0, NULL, &data) == S_OK && wcslen(data) < PATH_ROOM) {
    wcscpy(folder, data);
    if (make_folder(L"\\Keyfast") && make_folder(L"\\Agent") && make_folder(L"\\log")) file = open_file();
  }
  CoTaskMemFree(data);
}

void log_bytes(const char *bytes, DWORD count) {
  LARGE_INTEGER size;
  DWORD written;
  EnterCriticalSection(&turn);
  if (file != INVALID_HANDLE_VALUE) {
    if (GetFileSizeEx(file, &size) && size.QuadPart > LARGEST) move_aside();
    WriteFile(file, bytes, count, &written, NULL);
  }
  LeaveCriticalSection(&turn);
}

void log_line(const char *text, DWORD number) {
  char line[256];
  int count = snprintf(line, sizeof line, "HOST %s %lu\r\n", text, number);
  if (count > 0 && (size_t)count < sizeof line) log_bytes(line, (DWORD)count);
}
