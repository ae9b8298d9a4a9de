/* Windows keeps a copy of every MSI it installed, cabinets and all, where anybody may read it. Not of ours. */
#include "launcher.h"

#include <aclapi.h>
#include <msi.h>
#include <sddl.h>

/* Also in names.py. */
#define UPGRADE_CODE L"{9F0B6E5C-7C55-4B0C-9E4B-6D6A0C0A4C11}"
#define CODE_ROOM 39

static const wchar_t CLOSED[] = L"D:P(A;;FA;;;SY)(A;;FA;;;BA)";

static DWORD close_file(wchar_t *path) {
  PSECURITY_DESCRIPTOR descriptor = NULL;
  PACL list = NULL;
  BOOL there = FALSE, usual = FALSE;
  DWORD error;
  if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(CLOSED, SDDL_REVISION_1, &descriptor, NULL))
    return GetLastError();
  if (GetSecurityDescriptorDacl(descriptor, &there, &list, &usual) && there)
    error = SetNamedSecurityInfoW(path, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
                                  NULL, NULL, list, NULL);
  else
    error = ERROR_INVALID_ACL;
  LocalFree(descriptor);
  return error;
}

DWORD protect_packages(void) {
  wchar_t product[CODE_ROOM], path[PATH_ROOM];
  DWORD result = NO_ERROR;
  for (DWORD n = 0; MsiEnumRelatedProductsW(UPGRADE_CODE, 0, n, product) == ERROR_SUCCESS; n++) {
    DWORD room = PATH_ROOM;
    if (MsiGetProductInfoW(product, INSTALLPROPERTY_LOCALPACKAGE, path, &room) != ERROR_SUCCESS) continue;
    DWORD error = close_file(path);
    if (error) result = error;
  }
  return result;
}
